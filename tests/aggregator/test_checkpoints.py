"""Checkpoints: which are kept, when they are forced to the disk, what a run goes on from where one is damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from safetensors import safe_open

from aggregator import RoundRecord, RunFolder
from aggregator import checkpoints as room
from aggregator.checkpoints import Checkpoints
from aggregator.journal import OpenedSum
from fedlearn.errors import BadInput
from fedlearn.protocol import Step

STATE = {"velocity": np.array([0.5, 0.25])}


@pytest.fixture
def forced(monkeypatch) -> list[str]:
    """The names of what is forced to the disk, in order."""
    names: list[str] = []
    monkeypatch.setattr(room, "force", lambda path: names.append(path.name))
    return names


def opened(folder: Path) -> Checkpoints:
    found = Checkpoints(folder / "checkpoint", folder / "metrics.jsonl")
    found.open()
    return found


def add(some: Checkpoints, *rounds: int) -> None:
    for round in rounds:
        some.add(RoundRecord(round, train_loss=1 / round), np.full(3, round, np.float32), STATE)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoint").glob("round-*"))


def test_a_checkpoint_is_read_again(tmp_path):
    add(opened(tmp_path), 1, 2)
    assert files(tmp_path) == ["round-000001.safetensors", "round-000002.safetensors"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    again = opened(tmp_path)
    found = again.newest()
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == before
    assert (found.weights.tolist(), found.state["velocity"].tolist()) == ([2, 2, 2], [0.5, 0.25])
    assert [record.round for record in found.records] == [1, 2]
    assert again.rounds == [1, 2]
    assert opened(tmp_path / "checkpoint").newest() is None


def test_the_last_two_are_kept_and_the_last_that_was_forced(tmp_path, forced):
    some = opened(tmp_path)
    add(some, 1)
    some.force()
    assert forced == ["metrics.jsonl", "round-000001.safetensors", "checkpoint"]
    some.force()
    assert len(forced) == 3  # it is there already
    add(some, 2, 3, 4)
    (tmp_path / "checkpoint" / "round-000002.safetensors").unlink()  # by somebody else
    some.remove_old()
    assert some.rounds == [1, 3, 4]
    assert [name[6:12] for name in files(tmp_path)] == ["000001", "000003", "000004"]
    some.force()
    assert some.rounds == [3, 4]
    assert forced[3:] == ["metrics.jsonl", "round-000004.safetensors", "checkpoint"]
    assert [name[6:12] for name in files(tmp_path)] == ["000003", "000004"]


def test_what_was_opened_is_forgotten_when_the_round_is_on_the_disk(tmp_path, forced):
    some = opened(tmp_path)
    for journal in (some.journal, some.make_survey(tmp_path / "log").journal):
        journal.asked(Step(1), b"m")
        journal.opened([OpenedSum(np.zeros(1, np.int64), 1, [0])], {}, {})
    add(some, 1)
    again = opened(tmp_path)
    assert again.journal.last_opened.round == again.make_survey(tmp_path / "log").journal.last_opened.round == 1
    some.force()
    again = opened(tmp_path)
    assert again.journal.last_opened is again.make_survey(tmp_path / "log").journal.last_opened is None


def test_states_of_clients_are_forced_first(tmp_path, forced, monkeypatch):
    monkeypatch.setattr(os, "sync", lambda: forced.append("all"))
    some = opened(tmp_path)
    some.client_states.mkdir()
    add(some, 1)
    some.force()
    assert forced[0] == "all"


def test_damaged_ones_are_set_aside_and_what_is_gone_on_from_is_on_the_disk(tmp_path, forced, caplog):
    add(opened(tmp_path), 1, 2, 3)
    lines = (tmp_path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    newest = tmp_path / "checkpoint" / "round-000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    some = opened(tmp_path)
    found = some.newest()
    assert found.weights.tolist() == [2, 2, 2]
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"".join(lines[:2])
    assert not newest.exists()
    assert forced == ["metrics.jsonl", "round-000002.safetensors", "checkpoint"]
    assert "round-000003.safetensors cannot be used" in caplog.text
    assert b"".join(lines) in [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]


@pytest.mark.parametrize(("harm", "why"), [
    (lambda lines: lines[:1], "metrics.jsonl has 1 line where 2 are needed"),
    (lambda lines: [b"{\n", lines[1]], "line 1 of metrics.jsonl is damaged"),
    (lambda lines: [lines[1], lines[0]], "line 1 of metrics.jsonl is not the whole line of round 1"),
    (lambda lines: [lines[0], lines[1][:-1]], "line 2 of metrics.jsonl is not the whole line of round 2"),
])  # fmt: skip
def test_where_none_can_be_used_nothing_is_changed(tmp_path, harm, why):
    some = opened(tmp_path)
    add(some, 1, 2)
    (tmp_path / "checkpoint" / "round-000001.safetensors").unlink()
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(b"".join(harm(metrics.read_bytes().splitlines(keepends=True))))
    before = metrics.read_bytes(), files(tmp_path)
    with pytest.raises(BadInput) as refused:
        opened(tmp_path).newest()
    assert why in str(refused.value)
    begins = f"none of 1 checkpoint in {tmp_path / 'checkpoint'} can be used; of the newest"
    assert str(refused.value).startswith(begins)
    assert (metrics.read_bytes(), files(tmp_path)) == before


def test_lines_without_a_checkpoint_are_set_aside(tmp_path):
    some = opened(tmp_path)
    add(some, 1)
    (tmp_path / "checkpoint" / "round-000001.safetensors").unlink()
    assert opened(tmp_path).newest() is None
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_checkpoint_has_the_checksum_of_its_names_and_numbers(tmp_path):
    add(opened(tmp_path), 2)
    with safe_open(tmp_path / "checkpoint" / "round-000002.safetensors", framework="numpy") as file:
        found, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    whole = b"".join(name.encode() + array.tobytes() for name, array in sorted(arrays.items()))
    assert found == {"crc32": f"{crc32(whole):08x}"}


def test_a_number_that_changed_is_damage(tmp_path):
    add(opened(tmp_path), 1)
    path = tmp_path / "checkpoint" / "round-000001.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BadInput, match="it is damaged: its numbers are not those that were written"):
        opened(tmp_path).newest()


@pytest.mark.parametrize("array", [np.zeros(2, np.complex64), np.zeros(2, np.longdouble), np.array(["a"])])
def test_state_that_a_file_cannot_hold_is_refused_and_nothing_is_written(tmp_path, array):
    some = opened(tmp_path)
    with pytest.raises(BadInput, match="the strategy's state 'odd' is an array of"):
        some.add(RoundRecord(1), np.zeros(3, np.float32), {"odd": array})
    assert not (tmp_path / "metrics.jsonl").exists()
    assert files(tmp_path) == []


@pytest.mark.parametrize("dtype", [">f8", "<i8", "f2", "?", "u1"])
def test_state_of_any_other_numbers_comes_back(tmp_path, dtype):
    some = opened(tmp_path)
    array = np.array([[1, 0], [1, 1]]).astype(dtype)[:, ::-1]
    some.add(RoundRecord(1), np.zeros(3, np.float32), {"odd": array})
    found = opened(tmp_path).newest().state["odd"]
    assert found.tolist() == array.tolist()
    assert found.dtype == np.dtype(dtype).newbyteorder("<")


def run(path: Path, **more) -> RunFolder:
    return RunFolder(path, {"seed": 3}, {"name": "toy"}, **more)


def test_the_disk_is_waited_for_a_twentieth_of_the_time(tmp_path, monkeypatch):
    """Forced at once, and then again when the wait before is a small part of the time that went by."""
    now = [1000.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    written = []
    folder = run(tmp_path / "run")
    with folder.opened():
        monkeypatch.setattr(folder._checkpoints, "force", lambda: now.__setitem__(0, now[0] + 1.0))
        for number, seconds in enumerate((10.0, 5.0, 3.0, 2.0), 1):
            now[0] += seconds
            before = now[0]
            folder.keep(RoundRecord(number), np.zeros(3, np.float32), {}, lambda: {"w": np.zeros(1, np.float32)})
            written.append(now[0] > before)
    assert written == [True, False, False, True]


def test_how_a_run_ended_is_said(tmp_path):
    def outcome(name: str) -> dict:
        return json.loads((tmp_path / name / "run.json").read_text())["outcome"]

    with run(tmp_path / "a").opened():
        assert outcome("a") == {"state": "running"}
    for name, error in (("b", KeyboardInterrupt()), ("c", ValueError("why"))):
        with pytest.raises(type(error)), run(tmp_path / name).opened():
            raise error
    assert outcome("b") == {"state": "interrupted"}
    assert outcome("c") == {"state": "failed", "reason": "ValueError: why"}
    with pytest.raises(BadInput), run(tmp_path / "d").opened():
        raise BadInput("no")
    assert not (tmp_path / "d").exists()

    def refuses(folder: RunFolder) -> None:
        with folder.opened():
            folder.clients_log.write_text("why")
            raise BadInput("no")

    def keeps_a_round(folder: RunFolder) -> None:
        with folder.opened():
            folder.keep(RoundRecord(1), np.zeros(3, np.float32), {}, None)
            raise BadInput("no")

    with pytest.raises(BadInput):
        refuses(run(tmp_path / "e"))
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["clients.log"]
    with run(tmp_path / "e").opened():  # which is as good as new, and begins a log of its own
        assert not (tmp_path / "e" / "clients.log").exists()
    with pytest.raises(BadInput):
        keeps_a_round(run(tmp_path / "f"))
    assert outcome("f") == {"state": "failed", "reason": "BadInput: no"}
    with pytest.raises(BadInput), run(tmp_path / "f", resume=True).opened():
        raise BadInput("no")
    assert outcome("f")["state"] == "failed"
    with pytest.raises(BadInput, match="is not empty: give another one, or resume=True"):
        run(tmp_path / "f")
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"is not empty: give another one$"):
        run(tmp_path / "g")
    with pytest.raises(BadInput, match="is a file: give another one"):
        run(tmp_path / "g" / "notes.txt")
    with pytest.raises(BadInput, match="holds no run to resume"):
        run(tmp_path / "g", resume=True)


def test_the_error_to_report_is_the_one_that_ended_the_run(tmp_path):
    """A full disk is told of where nothing else ended it."""

    def ended(name: str, error: Exception | None) -> None:
        with (folder := run(tmp_path / "to be made" / name)).opened():
            folder._checkpoints.force = full
            if error is not None:
                raise error

    def full() -> None:
        raise OSError(28, "No space left")

    with pytest.raises(ValueError, match=r"^why$"):
        ended("a", ValueError("why"))
    with pytest.raises(OSError, match="No space left"):
        ended("b", None)


def test_what_is_not_waited_for_is_not_forced(tmp_path, monkeypatch):
    with (folder := run(tmp_path / "run")).opened():
        monkeypatch.setattr("os.fsync", lambda file: pytest.fail("it was forced"))
        add(folder._checkpoints, 1)
        folder.write_best({"w": np.zeros(1, np.float32)})
        monkeypatch.undo()
    assert (folder.path / "run.json").read_text().startswith('{\n  "configuration": {\n    "seed": 3\n')
    with pytest.raises(BadInput, match="transcript"):
        run(tmp_path / "other", transcript="odd")


@pytest.mark.parametrize(("first", "now", "named"), [
    (10, 11, None), (10, 10, None), (10, 9, "rounds"), (None, 5, "rounds"),
])  # fmt: skip
def test_a_run_may_go_on_for_longer_and_no_less(tmp_path, first, now, named):
    with RunFolder(tmp_path / "run", {"rounds": first} if first else {}, {}).opened():
        pass
    if named is None:
        RunFolder(tmp_path / "run", {"rounds": now}, {}, resume=True)
        return
    with pytest.raises(BadInput, match=f"cannot resume with {named}={now}, the run was started with {first}"):
        RunFolder(tmp_path / "run", {"rounds": now}, {}, resume=True)
