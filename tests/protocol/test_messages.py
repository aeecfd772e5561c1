"""Messages survive the wire, and nothing but a whole, right message is accepted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.errors import ProtocolError
from fedlearn.protocol import (
    AGGREGATOR,
    EVERYBODY,
    FIRST_OPENER,
    FIRST_WORKER,
    Counted,
    Enrolment,
    Inbox,
    Message,
    Opened,
    OpenerKey,
    OpenRequest,
    Refusal,
    RunPlan,
    Step,
    TrainRequest,
    Update,
    party_name,
)
from fedlearn.protocol.messages import HEADER

SESSION = bytes(range(16))
STEP = Step(3, 1, "update")
opaque = st.sampled_from([Update, Inbox, OpenerKey, OpenRequest, Opened, Enrolment])
phases = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=12)
steps = st.builds(Step, st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), phases)
parties = st.sampled_from([AGGREGATOR, EVERYBODY, FIRST_OPENER]) | st.integers(0, 2**31 - 1)


def update(payload: bytes = b"abc") -> bytes:
    return Message(SESSION, STEP, 7, AGGREGATOR, Update(payload)).to_bytes()


@given(kind=opaque, payload=st.binary(max_size=300), session=st.binary(min_size=16, max_size=16), step=steps,
       sender=parties, recipient=parties)  # fmt: skip
def test_every_message_comes_back_as_it_went(kind, payload, session, step, sender, recipient):
    message = Message(session, step, sender, recipient, kind(payload))
    assert Message.from_bytes(message.to_bytes()) == message


@given(st.lists(st.floats(width=32), max_size=50))
def test_weights_come_back_bit_for_bit(values):
    weights = np.array(values, np.float32)
    message = Message(SESSION, STEP, AGGREGATOR, EVERYBODY, TrainRequest(weights))
    back = Message.from_bytes(message.to_bytes()).body
    assert isinstance(back, TrainRequest)
    assert back.weights.tobytes() == weights.tobytes()


def test_a_plan_and_a_refusal_come_back():
    plan = RunPlan(SESSION, {0: b"roster"},
                   {"class": "a:B", "args": [3]}, {"kind": "hashed"}, {"name": "fedavg"}, {"name": "none"},
                   {FIRST_OPENER: b"key"}, {"segments": []}, 3, 10, {"blas_threads": 1}, 5)  # fmt: skip
    for body in (plan, Refusal("too few: 2 of 3")):
        message = Message(SESSION, Step(0), AGGREGATOR, EVERYBODY, body)
        assert Message.from_bytes(message.to_bytes()) == message


@given(st.integers(0, HEADER.size + 2))
def test_a_truncated_message_is_refused(length):
    with pytest.raises(ProtocolError, match="header"):
        Message.from_bytes(update()[:length])


@given(st.binary(min_size=1, max_size=20))
def test_a_longer_message_is_refused(extra):
    with pytest.raises(ProtocolError, match=f"has {3 + len(extra)} bytes, its header says 3"):
        Message.from_bytes(update() + extra)


@pytest.mark.parametrize(
    ("offset", "byte", "says"),
    [(0, 0x58, "not a fedlearn message"), (2, 9, "version 9"), (3, 200, "kind 200"), (26, 0xFF, "not ASCII"),
     (HEADER.size - 1, 4, "header says 4")],
)  # fmt: skip
def test_a_damaged_header_is_refused(offset, byte, says):
    data = bytearray(update())
    data[offset] = byte
    with pytest.raises(ProtocolError, match=says):
        Message.from_bytes(bytes(data))


@given(st.binary(max_size=200))
def test_noise_is_refused(data):
    with pytest.raises(ProtocolError):
        Message.from_bytes(data)


def test_a_plan_of_another_make_is_refused():
    body = OpenerKey(b"\x93\x01\x02\x03").to_bytes()
    with pytest.raises(ProtocolError, match="plan cannot be read"):
        RunPlan.from_bytes(body)


def test_a_notice_has_no_more_to_say():
    assert Counted.from_bytes(Counted().to_bytes()) == Counted()
    with pytest.raises(ProtocolError, match="1 bytes, it has none"):
        Counted.from_bytes(b"x")


def test_half_a_float_is_refused():
    with pytest.raises(ProtocolError, match="5 bytes"):
        TrainRequest.from_bytes(b"12345")


@pytest.mark.parametrize(
    ("expected", "says"),
    [({"session": bytes(16)}, "a replay"), ({"step": Step(4, 1, "update")}, "expected round 4"),
     ({"step": Step(3, 2, "update")}, "attempt 2"), ({"step": Step(3, 1, "open")}, "phase open"),
     ({"sender": 8}, "expected client:8")],
)  # fmt: skip
def test_only_the_awaited_message_is_accepted(expected, says):
    message = Message.from_bytes(update())
    assert message.expect(Update, session=SESSION, step=STEP, sender=7).payload == b"abc"
    with pytest.raises(ProtocolError, match=says):
        message.expect(Update, **{"session": SESSION, "step": STEP, "sender": 7} | expected)
    with pytest.raises(ProtocolError, match="expected Opened"):
        message.expect(Opened, session=SESSION)


def test_sessions_and_phases_must_fit_the_header():
    with pytest.raises(ProtocolError, match="15 bytes"):
        Message(bytes(15), STEP, 0, AGGREGATOR, Update(b"")).to_bytes()
    with pytest.raises(ProtocolError, match="over 12"):
        Message(SESSION, Step(1, 0, "thirteen char"), 0, AGGREGATOR, Update(b"")).to_bytes()


def test_party_names():
    parties = (0, 41, AGGREGATOR, EVERYBODY, FIRST_OPENER, FIRST_OPENER - 2, FIRST_WORKER - 1)
    assert [party_name(party) for party in parties] == [
        "client:0", "client:41", "aggregator", "everybody", "opener:0", "opener:2", "worker:1",
    ]  # fmt: skip
