"""What is charged stays charged: through kills, full disks and damage; and what the rows cost."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.errors import LedgerError
from fedlearn.privacy.accounting import AnalyticGaussian, Release
from fedlearn.privacy.ledger import Ledger, Row, epsilon, epsilon_aggregator, most_sums
from fedlearn.privacy.pld import Pld
from fedlearn.privacy.rdp import Rdp


def row(round=1, attempt=1, q=0.1, noise=1.0, count=1, session="5e55"):
    return Row(session, round, attempt, q, noise, count)


def rows(rounds, **arguments):
    return [row(number, count=number, **arguments) for number in range(1, rounds + 1)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


def test_rows_come_back_and_a_loaded_ledger_goes_on(path):
    ledger = Ledger.create(path)
    charged = [row(1), row(2, attempt=2, q=1.0, noise=0.1 + 0.2), row(3, session="other")]
    for one in charged[:2]:
        ledger.charge(one)
    before = path.read_bytes()
    again = Ledger.load(path, at_least=2)
    assert path.read_bytes() == before
    again.charge(charged[2])
    assert path.read_bytes().startswith(before)
    assert Ledger.load(path).rows == again.rows == tuple(charged)


whole = st.integers(0, 2**40)
any_row = st.builds(
    Row, st.text(max_size=8), whole, whole, st.floats(1e-9, 1.0), st.floats(0.001, 1e9), st.integers(1, 2**40)
)


@given(st.lists(any_row, max_size=5))
def test_any_rows_come_back_to_the_last_bit(charged):
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.create(Path(folder) / "ledger.jsonl")
        for one in charged:
            ledger.charge(one)
        assert Ledger.load(ledger.path, len(charged)).rows == tuple(charged)


def test_a_row_is_forced_to_the_disk_before_it_counts(path, monkeypatch):
    forced = []
    fsync = os.fsync

    def spy(descriptor):
        where = os.readlink(f"/proc/self/fd/{descriptor}")
        forced.append((where, os.path.isfile(where) and path.read_bytes()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    ledger = Ledger.create(path)
    assert [where for where, _ in forced] == [str(path), str(path.parent)]
    forced.clear()
    ledger.charge(row())
    assert forced == [(str(path), path.read_bytes())]


CHARGING = """
import sys
from pathlib import Path
from fedlearn.privacy.ledger import Ledger, Row
ledger = Ledger.create(Path(sys.argv[1]))
for number in range(100_000):
    ledger.charge(Row("s", number, 1, 0.1, 1.0, 1))
    print(number + 1, flush=True)
"""


@pytest.mark.parametrize("wait", [0.0, 0.005, 0.02, 0.1])
def test_what_was_charged_survives_a_kill(path, wait):
    child = subprocess.Popen([sys.executable, "-c", CHARGING, str(path)], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    time.sleep(wait)
    child.send_signal(signal.SIGKILL)
    said = child.stdout.read().splitlines()
    child.wait()
    known = int(said[-1]) if said else 1
    assert known <= len(Ledger.load(path, at_least=known).rows) <= known + 1


FULL = """
import resource, sys
from pathlib import Path
from fedlearn.errors import LedgerError
from fedlearn.privacy.ledger import Ledger, Row
path = Path(sys.argv[1])
ledger = Ledger.create(path)
ledger.charge(Row("s", 1, 1, 0.1, 1.0, 1))
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, size + 20))  # the next row is cut off in its middle
try:
    ledger.charge(Row("s", 2, 1, 0.1, 1.0, 2))
except LedgerError as error:
    print(error, len(ledger.rows), path.stat().st_size == size)
"""


def test_a_row_that_does_not_fit_is_an_error_and_leaves_nothing(path):
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written (File too large): the sum stays closed 1 True" in done.stdout
    assert len(Ledger.load(path).rows) == 1


def damaged(text, how):
    lines = text.splitlines(keepends=True)
    return {
        "cut off": text[:-1],
        "cut in a row": text[:-30],
        "a digit": text.replace('"round": 2', '"round": 3'),
        "less noise": text.replace('"noise": 1.0', '"noise": 9.0', 1),
        "a row gone": "".join(lines[:2] + lines[3:]),
        "rows swapped": "".join([lines[0], lines[2], lines[1], lines[3]]),
        "a row twice": text + lines[-1],
        "no rows": lines[0].strip(),
        "no header": "".join(lines[1:]),
        "empty": "",
        "blank line": text + "\n",
        "no text": "\udcff" + text,
    }[how]


WHERE = {
    "cut off": "line 4", "cut in a row": "line 4", "a digit": "line 3", "less noise": "line 2", "a row gone": "line 3",
    "rows swapped": "line 2", "a row twice": "line 5", "no rows": "line 2", "no header": "line 1", "empty": "line 1",
    "blank line": "line 5", "no text": "no text",
}  # fmt: skip


@pytest.mark.parametrize("how", WHERE)
def test_damage_is_found_and_the_file_left_as_it_is(path, how):
    ledger = Ledger.create(path)
    for one in rows(3):
        ledger.charge(one)
    text = damaged(path.read_text(), how).encode(errors="surrogateescape")
    path.write_bytes(text)
    with pytest.raises(LedgerError, match=f"{WHERE[how]}.*what was spent is not known"):
        Ledger.load(path)
    assert path.read_bytes() == text
    if how not in ("a digit", "less noise", "rows swapped"):
        with pytest.raises(LedgerError, match="were written here"):
            ledger.charge(row(4))


def test_rows_missing_at_the_end_are_found_by_who_knows_their_number(path):
    ledger = Ledger.create(path)
    for one in rows(3):
        ledger.charge(one)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert len(Ledger.load(path).rows) == 2
    with pytest.raises(LedgerError, match="has 2 rows, it had 3"):
        Ledger.load(path, at_least=3)


def test_missing_and_existing_ledgers_are_refused(path):
    with pytest.raises(LedgerError, match="cannot be read"):
        Ledger.load(path)
    ledger = Ledger.create(path)
    with pytest.raises(LedgerError, match="never written anew"):
        Ledger.create(path)
    path.unlink()
    with pytest.raises(LedgerError, match="the sum stays closed"):
        ledger.charge(row())
    assert not path.exists()
    with pytest.raises(LedgerError, match="choose another folder"):
        Ledger.create(path / "missing" / "ledger.jsonl")


@pytest.mark.parametrize(
    "arguments",
    [
        {"q": 0.0}, {"q": 1.01}, {"q": math.nan}, {"q": "0.1"}, {"noise": 0.0}, {"noise": math.inf}, {"noise": True},
        {"round": -1}, {"round": 1.0}, {"attempt": "1"}, {"count": 0}, {"session": 5},
    ],
)  # fmt: skip
def test_rows_out_of_range_are_refused(arguments):
    with pytest.raises(LedgerError, match=f"{next(iter(arguments))} is"):
        row(**arguments)


def test_epsilons_are_functions_of_the_rows():
    """q = .1, z = 1, 60 rounds, the busiest client in 14 of them."""
    spent = [row(number, count=min(number, 14)) for number in range(1, 61)]
    delta = 5.8e-4
    assert (
        epsilon(spent, delta, Pld()) == Pld().epsilon([Release(0.1, 1.0, 60)], delta) == pytest.approx(3.887, abs=1e-3)
    )
    assert epsilon(spent, delta, Rdp()) == Rdp().epsilon([Release(0.1, 1.0, 60)], delta)
    assert epsilon_aggregator(spent, delta) == pytest.approx(18.44, abs=0.01)
    assert epsilon_aggregator(spent, delta) == AnalyticGaussian(math.sqrt(14)).epsilon(delta)
    assert epsilon([], delta, Pld()) == epsilon_aggregator([], delta) == 0


def test_the_aggregator_is_charged_for_the_least_noise():
    mixed = [row(1, noise=2.0), row(2, noise=1.0, count=1), row(3, noise=4.0, count=2)]
    assert epsilon_aggregator(mixed, 1e-5) == AnalyticGaussian(math.sqrt(1 + 1 / 4)).epsilon(1e-5)


def test_a_round_that_was_opened_twice_is_charged_twice():
    """The second count comes from a checkpoint that does not know of the first opening."""
    spent = [row(1), row(2, count=2), row(2, attempt=1, count=2, session="resumed")]
    assert most_sums(spent) == 3
    assert epsilon_aggregator(spent, 1e-5) == AnalyticGaussian(math.sqrt(3)).epsilon(1e-5)


def test_openings_of_one_round_share_its_coins():
    """Whoever is in one is in both: one release with half the variance, which is more than two rounds cost."""
    spent = [row(1), row(2, noise=2.0), row(2, attempt=2, noise=2.0)]
    paid = Pld().epsilon([Release(0.1, 1.0), Release(0.1, math.sqrt(2))], 1e-5)
    assert epsilon(spent, 1e-5, Pld()) == pytest.approx(paid, abs=1e-9)
    assert paid > Pld().epsilon([Release(0.1, 1.0), Release(0.1, 2.0, 2)], 1e-5)
    unamplified = [row(1, q=1.0), row(1, attempt=2, q=0.1)]
    assert epsilon(unamplified, 1e-5, Pld()) == pytest.approx(AnalyticGaussian(math.sqrt(2)).epsilon(1e-5))
