"""What an opener keeps of the sums it opened, in its file and on the disk, and combinations of many of them."""

from __future__ import annotations

import json
import os
from itertools import combinations

import numpy as np
import pytest

from fedlearn.errors import CryptoKeyError, OpeningRefused
from fedlearn.secure.audit import CohortAudit
from fedlearn.secure.opened import OpenedRounds
from tests.aggregator.test_runfolder import files_of_at_most


def recalled(memory) -> OpenedRounds:
    rounds = OpenedRounds(3, None)
    rounds.recall(memory)
    return rounds


def test_what_is_opened_is_a_line_of_the_file_that_is_on_the_disk_when_it_is_entered(tmp_path, monkeypatch):
    forced = []
    monkeypatch.setattr(os, "fsync", lambda file: forced.append(os.fstat(file).st_size))
    memory = tmp_path / "memory"
    rounds = recalled(memory)
    assert memory.stat().st_mode & 0o777 == 0o600
    rounds.enter((1, 0), b"\1", [2, 0, 1])
    assert forced == [memory.stat().st_size]
    rounds.enter((2, 3), b"\2", [5, 4, 3])
    assert forced[1:] == [memory.stat().st_size]
    lines = [json.loads(line) for line in memory.read_text().splitlines()]
    assert lines == [
        {"round": 1, "group": 0, "model": "01", "clients": [0, 1, 2]},
        {"round": 2, "group": 3, "model": "02", "clients": [3, 4, 5]},
    ]
    again = recalled(memory)
    assert again.opened == 2
    assert [again.was_opened(number) for number in ((1, 0), (2, 3), (2, 0), (3, 0))] == [True, True, False, False]
    again.check_number((2, 3), 9)
    with pytest.raises(OpeningRefused, match="only for the same clients and the same model"):
        again.enter((2, 3), b"\2", [3, 4, 6])
    with pytest.raises(OpeningRefused, match="only for the same clients and the same model"):
        again.enter((2, 3), b"\3", [3, 4, 5])
    again.enter((2, 3), b"\2", [3, 4, 5])
    with pytest.raises(OpeningRefused, match="a sum of round 2, group 3 was opened before"):
        again.check_number((2, 3), 9)


def test_nothing_is_opened_that_the_disk_has_no_room_to_remember(tmp_path):
    """A disk that is nearly full takes a part of a line without an error."""
    memory = tmp_path / "memory"
    recalled(memory).enter((1, 0), b"\1", [0, 1, 2])
    whole = memory.read_bytes()
    with files_of_at_most(len(whole) + 10), pytest.raises(OSError, match=r"File too large: .*memory"):
        recalled(memory).enter((2, 0), b"\2", [3, 4, 5])
    assert memory.read_bytes() == whole
    assert not recalled(memory).was_opened((2, 0))


def test_a_line_without_an_end_is_cut_off(tmp_path):
    memory = tmp_path / "memory"
    recalled(memory).enter((1, 0), b"\1", [0, 1, 2])
    whole = memory.read_bytes()
    for torn in (b"{", b'{"round": 2, "group": 0, "model": "02", "clients": [0, 1, 2]}', b"x"):
        memory.write_bytes(whole + torn)
        assert recalled(memory).opened == 1
        assert memory.read_bytes() == whole
    memory.write_bytes(b"x" * 10)
    assert recalled(memory).opened == 0
    assert memory.read_bytes() == b""
    memory.write_bytes(whole + b"x\n")
    with pytest.raises(CryptoKeyError, match="is damaged"):
        recalled(memory)


def tells(rows: np.ndarray, least: int) -> bool:
    """True where some combination of the rows is nonzero in fewer than `least` columns, by ranks of what is left."""
    full = np.linalg.matrix_rank(rows)
    few = min(least - 1, rows.shape[1])
    return any(
        np.linalg.matrix_rank(np.delete(rows, columns, axis=1)) < full
        for columns in combinations(range(rows.shape[1]), few)
    )


@pytest.mark.parametrize("seed", range(12))
def test_combinations_of_three_and_four_sums_are_found_too(seed):
    rng = np.random.default_rng(seed)
    least, clients = 5, 9
    audit, opened = CohortAudit(least), np.zeros((0, clients))
    for _ in range(9):
        cohort = rng.permutation(clients)[: rng.integers(least, clients + 1)]
        row = np.isin(np.arange(clients), cohort)[None].astype(float)
        if not tells(np.concatenate([opened, row]), least):
            audit.enter(cohort.tolist())
            opened = np.concatenate([opened, row])
            continue
        before = f"this sum, with {np.linalg.matrix_rank(opened)} opened before it, would tell the sum of fewer than 5"
        with pytest.raises(OpeningRefused, match=before):
            audit.enter(cohort.tolist())
    assert len(opened)


def test_what_takes_too_many_trials_is_refused():
    """Three long cohorts that overlap: which two of 257 clients may be left beside them is asked 32,896 times."""
    audit = CohortAudit(6)
    audit.enter(range(100))
    audit.enter(range(80, 180))
    with pytest.raises(OpeningRefused) as refused:
        audit.enter(range(160, 260))
    assert str(refused.value) == (
        "3 cohorts of one model cannot be audited for combinations of under 6 clients: open fewer of them"
    )


@pytest.mark.parametrize("number", [(0, 0), (0, 5), (8, 0)])
def test_a_sum_is_of_one_of_the_plans_rounds(number):
    with pytest.raises(OpeningRefused, match="is asked for after round 0: the plan has rounds 1 to 7, in order"):
        OpenedRounds(3, None).check_number(number, 7)
