"""The journal: what was opened is found again, and what cannot be read is kept and said."""

from __future__ import annotations

from zlib import crc32

import msgpack
import numpy as np
import pytest

from aggregator.journal import HEAD, Journal, OpenedSum
from fedlearn.protocol import Step
from tests.aggregator.test_runfolder import files_of_at_most

MODEL = b"the digest of a model"


def opened(path) -> Journal:
    journal = Journal(path)
    journal.open()
    return journal


@pytest.fixture
def path(tmp_path):
    """A journal in which rounds 1 and 2 were opened."""
    journal = opened(tmp_path / "opened.journal")
    for round in (1, 2):
        journal.asked(Step(round), MODEL, [0, 1, 2])
        journal.opened([OpenedSum(np.arange(5) * round, 3, [0, 1, 2])], {7: "failed"}, {"update": 0.5})
    return tmp_path / "opened.journal"


def test_what_was_opened_is_found_again_until_a_checkpoint_holds_it(path):
    entry = opened(path).last_opened
    assert entry is not None
    assert (entry.round, list(entry.clients), entry.lost) == (2, [0, 1, 2], {7: "failed"})
    (opened_sum,) = entry.sums
    assert (opened_sum.addends, opened_sum.clients) == (3, [0, 1, 2])
    assert opened_sum.total.tolist() == [0, 2, 4, 6, 8]
    opened(path).forget(1)
    assert opened(path).earlier(1) is None
    assert opened(path).earlier(2) is not None
    opened(path).forget(2)
    assert path.read_bytes() == b""


def test_no_sum_is_asked_for_that_the_disk_has_no_room_to_remember(path):
    """A disk that is nearly full takes a part of an entry without an error."""
    whole = path.read_bytes()
    with files_of_at_most(len(whole) + 20), pytest.raises(OSError, match=r"File too large: .*opened.journal"):
        opened(path).asked(Step(3), MODEL, [0, 1, 2])
    assert path.read_bytes() == whole


def test_a_whole_journal_stays_as_it_is(path, caplog):
    opened(path).forget(0)  # an entry is left of each round, its last
    before, file = path.read_bytes(), path.stat().st_ino
    opened(path).forget(0)
    assert (path.read_bytes(), path.stat().st_ino) == (before, file)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert not caplog.records
    for without in (Journal(), opened(path.with_name("none"))):
        without.forget(2)
    assert not path.with_name("none").exists()


ENTRY = {
    "round": 3, "attempt": 0, "model": MODEL, "clients": [1], "sums": [[bytes(8), 1, [1], 0]], "lost": {}, "seconds": {}
}  # fmt: skip


def written(body: bytes) -> bytes:
    return HEAD.pack(len(body), crc32(body)) + body


def test_an_entry_is_read_by_its_names(path):
    path.write_bytes(written(msgpack.packb(ENTRY)))
    assert opened(path).last_opened.round == 3


@pytest.mark.parametrize("garbage", [
    b"", b"\xc1", msgpack.packb([1]), msgpack.packb({"total": b"odd"}), b"\x91" * 5000,
    *(msgpack.packb(ENTRY | change) for change in (
        {"more": 1}, {"round": "3"}, {"attempt": None}, {"model": "text"}, {"clients": ["x"]}, {"lost": {"x": "y"}},
        {"seconds": {1: 0.5}}, {"sums": [[bytes(8), "x", [1], 0]]}, {"sums": [[bytes(8), 1, ["x"], 0]]},
        {"sums": [[bytes(8), 1, {1: 2}, 0]]}, {"sums": [[bytes(8), 1, [1], None]]}, {"sums": [[bytes(7), 1, [1], 0]]},
    )),
])  # fmt: skip
def test_entries_that_no_session_wrote_are_kept_beside_the_journal(path, garbage, caplog):
    before = path.read_bytes()
    damaged = before + written(garbage)
    path.write_bytes(damaged)
    assert opened(path).last_opened.round == 2
    assert path.read_bytes() == before
    assert path.with_name("opened.journal.damaged").read_bytes() == damaged
    assert "kept as opened.journal.damaged" in caplog.text


def test_a_turned_bit_costs_what_follows_it_and_deletes_nothing(path):
    """Of a number in the sum, which would be another sum."""
    data = bytearray(path.read_bytes())
    data[data.rindex(bytes([8, 0, 0, 0, 0, 0, 0, 0]))] ^= 1
    path.write_bytes(data)
    journal = opened(path)
    assert journal.last_opened.round == 1
    assert not journal.earlier(2).sums  # they were asked for
    assert path.with_name("opened.journal.damaged").read_bytes() == data
