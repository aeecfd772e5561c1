"""Messages byte by byte, as one release sends them and another reads them, and where their limits lie."""

from __future__ import annotations

import json
import struct
from hashlib import sha256

import numpy as np
import pytest

from fedlearn.errors import BadInput, DataError, ProtocolError
from fedlearn.protocol import AGGREGATOR, EVERYBODY, Message, RunPlan, Step, bodies
from fedlearn.protocol.bodies import BODIES
from fedlearn.protocol.parties import FIRST_OPENER, FIRST_WORKER
from fedlearn.protocol.pool import Lost, Partial, Reply
from fedlearn.protocol.transcript import LARGEST, LONGEST_ROW, PartyView, Transcript, extract

SESSION = bytes(range(16))
F4, U4 = struct.Struct("<f").pack, struct.Struct("<I").pack
PLAN = {
    "session": SESSION, "roster": {}, "model": {}, "vocabulary": {}, "strategy": {}, "protection": {}, "keys": {},
    "layout": {}, "sampled": 1, "rounds": 1, "kernels": {}, "seed": 0,
}  # fmt: skip
BODY = [  # kind, body, its bytes
    (1, bodies.TrainRequest(np.array([1.5, -2], np.float32)), U4(0) + F4(1.5) + F4(-2)),
    (1, bodies.TrainRequest(np.ones(1, np.float32), {"c": np.array([3, 4], np.float32)}),
     U4(1) + b"c".ljust(16, b"\0") + U4(2) + F4(1) + F4(3) + F4(4)),
    (2, bodies.Update(b"up"), b"up"),
    (3, bodies.Inbox(b"in"), b"in"),
    (4, bodies.OpenerKey(b"key"), b"key"),
    (5, bodies.OpenRequest(b"sum"), b"sum"),
    (6, bodies.Opened(b"open"), b"open"),
    (7, bodies.Refusal("no \u20ac"), "no \u20ac".encode()),
    (9, bodies.Enrolment(b"me"), b"me"),
    (10, bodies.PartialSum((3, 7), np.array([-1, 2])), U4(2) + U4(3) + U4(7) + struct.pack("<2q", -1, 2)),
    (11, bodies.Counted(), b""),
    (12, bodies.Loss(bodies.Loss.REFUSED), b"\1"),
    (12, bodies.Loss(bodies.Loss.FAILED), b"\2"),
    (12, bodies.Loss(bodies.Loss.LATE), b"\3"),
    (13, bodies.Marks(b"m"), b"m"),
    (14, bodies.LeftOut(), b""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "data"), BODY, ids=lambda part: type(part).__name__)
def test_a_message_is_its_header_and_its_body(kind, body, data):
    message = Message(SESSION, Step(5, 2, "update", 3), 4, AGGREGATOR, body)
    header = struct.pack(">2sBB16sIHH12siiQ", b"FL", 3, kind, SESSION, 5, 2, 3, b"update", 4, -1, len(data))
    assert len(header) == 56
    assert message.to_bytes() == header + data
    read = Message.from_bytes(header + data)
    assert (read.session, read.step, read.sender, read.recipient) == (SESSION, message.step, 4, -1)
    assert read.body.to_bytes() == data
    assert type(read.body) is type(body) is BODIES[kind]
    assert Message.kind_of(header) == kind


def test_parties_are_numbers():
    assert (AGGREGATOR, EVERYBODY, FIRST_OPENER, FIRST_WORKER) == (-1, -2, -16, -(2**20))
    assert sorted(BODIES) == list(range(1, 15))
    assert BODIES[8] is RunPlan
    assert (Message.kind_of(b"FL\3"), Message.kind_of(b"FL\3\7")) == (0, 7)


HEADER = Message(SESSION, Step(1), 0, -1, bodies.Counted()).to_bytes()
REFUSED = [
    (lambda: Message.from_bytes(HEADER[:55]), "message of 55 bytes is shorter than its 56-byte header: send it again"),
    (lambda: Message.from_bytes(b"XX" + HEADER[2:]), "message begins b'XX', not b'FL': this is not a fedlearn message"),
    (lambda: Message.from_bytes(HEADER[:2] + b"\4" + HEADER[3:]),
     "message version 4, this side speaks 3: run one release on all sides"),
    (lambda: Message.from_bytes(HEADER[:3] + b"\x0f" + HEADER[4:]), "message kind 15 is unknown, kinds are 1..14"),
    (lambda: Message.from_bytes(HEADER + b"\0"), "message body has 1 byte, its header says 0: send it again"),
    (lambda: Message(bytes(15), Step(1), 0, -1, bodies.Counted()).to_bytes(),
     "session of 15 bytes (16 needed) or phase '' over 12"),
    (lambda: Message(SESSION, Step(1, 0, "thirteen-long"), 0, -1, bodies.Counted()).to_bytes(),
     "session of 16 bytes (16 needed) or phase 'thirteen-long' over 12"),
    (lambda: bodies.Loss(0), "a loss of code 0, there are 1 to 3: send it again"),
    (lambda: bodies.Loss(4), "a loss of code 4, there are 1 to 3: send it again"),
    (lambda: bodies.Loss.from_bytes(b""), "a loss of 0 bytes, it has 1: send it again"),
    (lambda: bodies.Loss.from_bytes(b"\1\1"), "a loss of 2 bytes, it has 1: send it again"),
    (lambda: bodies.PartialSum.from_bytes(U4(2) + U4(3)),
     "a sum of the vectors of 2 clients cannot have 8 bytes: send it again"),
    (lambda: bodies.PartialSum.from_bytes(U4(0) + bytes(7)),
     "a sum of the vectors of 0 clients cannot have 11 bytes: send it again"),
    (lambda: bodies.TrainRequest.from_bytes(U4(1) + bytes(19)),
     "a model of 23 bytes with 1 vector of state is not a whole number of float32 values: send it again"),
    (lambda: bodies.TrainRequest.from_bytes(U4(0) + bytes(3)),
     "a model of 7 bytes with 0 vectors of state is not a whole number of float32 values: send it again"),
    (lambda: bodies.TrainRequest.from_bytes(U4(1) + b"c".ljust(16, b"\0") + U4(2) + F4(1)),
     "a model's state does not fit its 28 bytes, or names one vector twice"),
    (lambda: bodies.TrainRequest.from_bytes(U4(2) + 2 * (b"c".ljust(16, b"\0") + U4(0))),
     "a model's state does not fit its 44 bytes, or names one vector twice"),
    (lambda: bodies.TrainRequest(np.zeros(2, np.float32)).check(3, {}),
     "the request has 2 weights, the plan's model 3: "
     "the model must keep the parameters it had at the start of the run"),
    (lambda: bodies.TrainRequest(np.zeros(2, np.float32)).check(2, {"c": 1}),
     "the request comes with the state {}, the plan's strategy broadcasts {'c': 1}"),
    (lambda: RunPlan(**PLAN | {"seed": True}), "the run plan's seed is True, a int is needed"),
    (lambda: RunPlan.from_bytes(b"\xc1"), None),
]  # fmt: skip


@pytest.mark.parametrize(("call", "text"), REFUSED)
def test_what_is_no_message_is_refused_in_these_words(call, text):
    with pytest.raises(ProtocolError) as refused:
        call()
    assert text is None or str(refused.value) == text


def test_what_cannot_be_read_of_a_plan_is_quoted_without_quotes_of_its_own():
    with pytest.raises(ProtocolError) as refused:
        RunPlan.from_bytes(b"\x81\xa1x\x01")
    assert str(refused.value).startswith("the run plan cannot be read: RunPlan.__init__() got an unexpected")
    assert str(refused.value).endswith("'x'; all parties must run one version")


@pytest.mark.parametrize("change", [
    {"sampled": 1}, {"sampled": 10**7}, {"rounds": 2**32 - 1}, {"seed": 2**64 - 1}, {"group_size": 10**7},
])  # fmt: skip
def test_plans_at_their_limits_are_read_again(change):
    plan = RunPlan(**PLAN | change)
    assert RunPlan.from_bytes(plan.to_bytes()) == plan


def test_a_loss_is_one_whatever_was_traced_of_it():
    assert Lost(3, "gone", trace="line 5") == Lost(3, "gone")
    for other in (Lost(4, "gone"), Lost(3, "late"), Lost(3, "gone", again=True), Lost(3, "gone", refused=True)):
        assert Lost(3, "gone") != other
    assert [answer.clients for answer in (Lost(3, ""), Reply(4, b""), Partial((1, 2), b""))] == [(3,), (4,), (1, 2)]


def test_messages_at_their_limits_are_read_again():
    for sender, recipient in ((0, AGGREGATOR), (AGGREGATOR, EVERYBODY), (FIRST_OPENER, AGGREGATOR)):
        step = Step(2**32 - 1, 2**16 - 1, "twelve-chars", 2**16 - 1)
        data = Message(SESSION, step, sender, recipient, bodies.Loss(2)).to_bytes()
        assert Message.from_bytes(data) == Message(SESSION, step, sender, recipient, bodies.Loss(2))
    assert bodies.PartialSum.from_bytes(U4(1) + U4(9)).total.size == 0
    request = bodies.TrainRequest(np.zeros(0, np.float32), {"x" * 16: np.zeros(0, np.float32)})
    assert list(bodies.TrainRequest.from_bytes(request.to_bytes()).state) == ["x" * 16]


def test_what_another_message_is_expected_to_be_is_said():
    message = Message(SESSION, Step(2, 1, "update", 1), 4, AGGREGATOR, bodies.Update(b""))
    assert message.expect(bodies.Update, session=SESSION, step=message.step, sender=4, recipient=-1) is message.body
    other = bytes(16)
    for change, text in (
        ({"kind": bodies.Inbox}, "got Update, expected Inbox"),
        ({"session": other}, f"message of session {SESSION.hex()}, this is session {other.hex()}: a replay?"),
        ({"step": Step(2, 1, "update")},
         "message of round 2, attempt 1, phase update, group 1, expected round 2, attempt 1, phase update: a replay?"),
        ({"step": Step(2)}, "message of round 2, attempt 1, phase update, group 1, "
         "expected round 2, attempt 0, phase none: a replay?"),
        ({"sender": 5}, "message from client-4, expected client-5"),
        ({"recipient": 5}, "message to aggregator, expected client-5"),
    ):  # fmt: skip
        with pytest.raises(ProtocolError) as refused:
            message.expect(**{"kind": bodies.Update, "session": SESSION} | change)
        assert str(refused.value) == text


def send(transcript: Transcript, sender: int, recipient: int, size: int, to=None, **more) -> None:
    transcript.saw(Message(SESSION, Step(1), sender, recipient, bodies.Update(bytes(size))).to_bytes(), to, **more)


def test_a_transcript_counts_what_travels_by_direction():
    seen, size = Transcript(), 56 + 10
    send(seen, 3, AGGREGATOR, 10)
    assert (seen.bytes_up, seen.bytes_down, seen.bytes_openers) == (size, 0, 0)
    send(seen, AGGREGATOR, EVERYBODY, 10, [0, 1, FIRST_OPENER])
    assert (seen.bytes_up, seen.bytes_down, seen.bytes_openers) == (size, 2 * size, size)
    send(seen, FIRST_OPENER, EVERYBODY, 10, [AGGREGATOR, 0, 1])
    assert (seen.bytes_up, seen.bytes_down, seen.bytes_openers) == (size, 4 * size, 4 * size)
    send(seen, AGGREGATOR, FIRST_OPENER - 1, 10)
    assert (seen.bytes_up, seen.bytes_down, seen.bytes_openers) == (size, 4 * size, 5 * size)
    send(seen, FIRST_WORKER, AGGREGATOR, 10, traffic=1000)
    assert (seen.bytes_up, seen.bytes_down, seen.bytes_openers) == (size + 1000, 4 * size, 5 * size)


@pytest.mark.parametrize(("mode", "record", "hashed"), [
    ("full", False, True), ("digest", False, False), ("full", True, True), ("digest", True, True),
])  # fmt: skip
def test_rows_of_a_transcript(tmp_path, mode, record, hashed):
    seen = Transcript(tmp_path, record, mode)
    send(seen, 3, AGGREGATOR, 10)
    send(seen, AGGREGATOR, EVERYBODY, 4, [0, 1])
    send(seen, AGGREGATOR, EVERYBODY, 4, [])
    seen.flush()
    rows = [json.loads(line) for line in (tmp_path / "transcript.jsonl").read_text().splitlines()]
    data = Message(SESSION, Step(1), 3, AGGREGATOR, bodies.Update(bytes(10))).to_bytes()
    first = {"session": SESSION.hex(), "round": 1, "attempt": 0, "phase": "", "from": "client:3", "type": "Update",
             "bytes": 66, "to": "aggregator"}  # fmt: skip
    first |= {"sha256": sha256(data).hexdigest()} if hashed else {}
    first |= {"offset": 0} if record else {}
    assert rows[0] == first
    assert [row["to"] for row in rows] == ["aggregator", "client:0", "client:1"]
    assert [row.get("offset") for row in rows] == ([0, 66, 66] if record else [None] * 3)
    if record:
        assert (tmp_path / "payloads.bin").read_bytes()[:66] == data
    seen.close()
    if record:
        assert [message.sender for message in PartyView.load(tmp_path).messages] == [3, -1]
        extract(tmp_path, 0, tmp_path / "deep" / "er")
        assert [m.sender for m in PartyView.load(tmp_path / "deep" / "er", 0).messages] == [-1]
        extract(tmp_path, 3, tmp_path / "three")
        for folder, ways in (("deep/er", [("aggregator", "client:0")]), ("three", [("client:3", "aggregator")])):
            rows = map(json.loads, (tmp_path / folder / "transcript.jsonl").read_text().splitlines())
            assert [(row["from"], row["to"]) for row in rows] == ways
        assert repr(PartyView.load(tmp_path)) == "<PartyView of aggregator: 2 messages>"


def test_a_transcript_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"^transcript is 'none': choose full or digest$"):
        Transcript(tmp_path, mode="none")
    with pytest.raises(DataError, match="a transcript can only be recorded in a run folder"):
        Transcript(record=True)
    send(Transcript(tmp_path / ".", True), 3, AGGREGATOR, 10)
    (tmp_path / "payloads.bin").write_bytes(b"")
    row = {"from": "client:3", "to": "aggregator", "bytes": 0, "sha256": sha256(b"").hexdigest(), "offset": 0}
    for change, text in (
        ({"bytes": LARGEST}, "is no row of a recorded message: the file is damaged"),
        ({"offset": LARGEST}, "is no row of a recorded message: the file is damaged"),
        ({"bytes": -1}, "is no row of a recorded message: the file is damaged"),
        ({"offset": -1}, "is no row of a recorded message: the file is damaged"),
        ({"bytes": True}, "is no row of a recorded message: the file is damaged"),
        ({"sha256": 5}, "is no row of a recorded message: the file is damaged"),
        ({"bytes": LARGEST - 1}, "its message is not in payloads.bin: the recording is cut off"),
        ({"offset": LARGEST - 1, "bytes": 1}, "its message is not in payloads.bin: the recording is cut off"),
        ({"bytes": 1}, "its message is not in payloads.bin: the recording is cut off"),
        ({"sha256": "00"}, "payload at offset 0 does not match its row's sha256: the recording is damaged"),
        ({}, "message of 0 bytes is shorter"),
    ):
        (tmp_path / "transcript.jsonl").write_text(json.dumps(row | change) + "\n")
        with pytest.raises(ProtocolError, match=text):
            PartyView.load(tmp_path)
    (tmp_path / "transcript.jsonl").write_text(json.dumps(row | {"pad": "x" * LONGEST_ROW}) + "\n")
    with pytest.raises(ProtocolError, match=r"line 1: .* is no row"):
        PartyView.load(tmp_path)
