"""The transcript holds a row a message, and a party's view only what it sent or received."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from fedlearn.errors import BadInput, DataError, ProtocolError
from fedlearn.protocol import (
    AGGREGATOR,
    EVERYBODY,
    FIRST_OPENER,
    Message,
    OpenRequest,
    PartyView,
    Step,
    TrainRequest,
    Transcript,
    Update,
)

SESSION = bytes(range(16))
STEP = Step(1, 0, "update")


def message(sender, recipient, body) -> bytes:
    return Message(SESSION, STEP, sender, recipient, body).to_bytes()


@pytest.fixture
def recorded(tmp_path):
    transcript = Transcript(tmp_path, record=True)
    request = message(AGGREGATOR, EVERYBODY, TrainRequest(np.ones(4, np.float32)))
    transcript.saw(request, recipients=[0, 1])
    updates = [message(client, AGGREGATOR, Update(bytes([client] * 9))) for client in (0, 1)]
    for data in updates:
        transcript.saw(data)
    transcript.saw(message(AGGREGATOR, FIRST_OPENER, OpenRequest(b"sum")))
    transcript.close()
    return tmp_path, transcript, request, updates


def test_a_row_for_every_message_and_recipient(recorded):
    folder, _, request, updates = recorded
    rows = [json.loads(line) for line in (folder / "transcript.jsonl").read_text().splitlines()]
    assert [(row["from"], row["to"], row["type"]) for row in rows] == [
        ("aggregator", "client:0", "TrainRequest"), ("aggregator", "client:1", "TrainRequest"),
        ("client:0", "aggregator", "Update"), ("client:1", "aggregator", "Update"),
        ("aggregator", "opener:0", "OpenRequest"),
    ]  # fmt: skip
    assert rows[0] == {
        "session": SESSION.hex(), "round": 1, "attempt": 0, "phase": "update", "from": "aggregator",
        "to": "client:0", "type": "TrainRequest", "bytes": len(request),
        "sha256": hashlib.sha256(request).hexdigest(), "offset": 0,
    }  # fmt: skip
    payloads = (folder / "payloads.bin").read_bytes()
    assert payloads[rows[3]["offset"] :][: rows[3]["bytes"]] == updates[1]


def test_traffic_is_counted_by_direction(recorded):
    _, transcript, request, updates = recorded
    assert transcript.bytes_up == sum(map(len, updates))
    assert transcript.bytes_down == 2 * len(request)  # a broadcast reaches two clients; openers are no clients


def test_a_view_is_what_the_party_sent_or_received(recorded):
    folder, *_ = recorded
    kinds = {party: [type(m.body).__name__ for m in PartyView.load(folder, party).messages]
             for party in (AGGREGATOR, 1, FIRST_OPENER, 5)}  # fmt: skip
    assert kinds == {
        AGGREGATOR: ["TrainRequest", "Update", "Update", "OpenRequest"],
        1: ["TrainRequest", "Update"],
        FIRST_OPENER: ["OpenRequest"],
        5: [],
    }
    assert [body.payload for _, body in PartyView.load(folder, 1).bodies(Update)] == [bytes([1] * 9)]


def test_without_record_there_are_digests_and_no_payloads(tmp_path):
    transcript = Transcript(tmp_path)
    transcript.saw(message(0, AGGREGATOR, Update(b"x")))
    transcript.close()
    assert "offset" not in json.loads((tmp_path / "transcript.jsonl").read_text())
    with pytest.raises(DataError, match="record=True"):
        PartyView.load(tmp_path)


def test_a_damaged_recording_is_noticed(recorded):
    folder, *_ = recorded
    payloads = bytearray((folder / "payloads.bin").read_bytes())
    payloads[-1] ^= 1
    (folder / "payloads.bin").write_bytes(payloads)
    with pytest.raises(ProtocolError, match="damaged"):
        PartyView.load(folder)


@pytest.mark.parametrize("record", [True, False])
def test_a_transcript_goes_on_as_it_was_begun(tmp_path, record):
    """Else some of its rows would have payloads, and nobody could read it."""
    for client in (0, 1):
        transcript = Transcript(tmp_path, record)
        transcript.saw(message(client, AGGREGATOR, Update(b"x")))
        transcript.close()
    assert len((tmp_path / "transcript.jsonl").read_text().splitlines()) == 2
    with pytest.raises(BadInput, match=r"begun with(out)? record=True: go on with(out)? it"):
        Transcript(tmp_path, not record)


def test_what_a_kill_left_half_written_is_cut_off(recorded):
    folder, *_ = recorded
    rows, payloads = (folder / "transcript.jsonl").read_bytes(), (folder / "payloads.bin").read_bytes()
    for torn_rows, torn_payloads, whole in (
        (rows + b'{"session": "to', payloads, 4),
        (rows, payloads + b"torn", 4),
        (rows, payloads[:-1], 3),
    ):
        (folder / "transcript.jsonl").write_bytes(torn_rows)
        (folder / "payloads.bin").write_bytes(torn_payloads)
        Transcript(folder, record=True).close()
        kept = PartyView.load(folder).messages
        assert len(kept) == whole
        assert (folder / "payloads.bin").read_bytes() == b"".join(message.to_bytes() for message in kept)


def test_recording_needs_a_folder(tmp_path):
    with pytest.raises(DataError, match="run folder"):
        Transcript(None, record=True)
    with pytest.raises(DataError, match="folder of a run"):
        PartyView.load(tmp_path)
