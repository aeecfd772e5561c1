"""Messages survive the wire, and nothing but a whole, right message is accepted."""

from __future__ import annotations

import re

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
    LeftOut,
    Loss,
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
    transcript_name,
)
from fedlearn.protocol.messages import HEADER
from fedlearn.protocol.parties import is_opener
from fedlearn.secure.signed import model_digest

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


vectors = st.lists(st.floats(width=32), max_size=20).map(lambda values: np.array(values, np.float32))
states = st.dictionaries(
    st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=16), vectors, max_size=4
)


@given(vectors, states)
def test_weights_and_state_come_back_bit_for_bit(weights, state):
    message = Message(SESSION, STEP, AGGREGATOR, EVERYBODY, TrainRequest(weights, state))
    back = Message.from_bytes(message.to_bytes()).body
    assert isinstance(back, TrainRequest)
    assert back.weights.tobytes() == weights.tobytes()
    assert {name: vector.tobytes() for name, vector in back.state.items()} == {
        name: vector.tobytes() for name, vector in state.items()
    }
    back.check(weights.size, {name: vector.size for name, vector in state.items()})
    assert model_digest(back) == model_digest(TrainRequest(weights, state))


@given(vectors, states, st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_a_damaged_request_is_refused_or_another_one(weights, state, at, damage):
    data = bytearray(TrainRequest(weights, state).to_bytes())
    data[at : at + len(damage)] = damage
    try:
        back = TrainRequest.from_bytes(bytes(data))
        back.check(weights.size, {name: vector.size for name, vector in state.items()})
    except ProtocolError:
        return
    assert len(back.to_bytes()) == len(TrainRequest(weights, state).to_bytes())


@pytest.mark.parametrize(
    ("request_", "says"),
    [(TrainRequest(np.zeros(3, np.float32)), "3 weights, the plan's model 4"),
     (TrainRequest(np.zeros(4, np.float32)), "state {}, the plan's strategy broadcasts {'c': 2}"),
     (TrainRequest(np.zeros(4, np.float32), {"c": np.zeros(3, np.float32)}), "{'c': 3}"),
     (TrainRequest(np.zeros(4, np.float32), {"d": np.zeros(2, np.float32)}), "{'d': 2}")],
)  # fmt: skip
def test_a_request_of_another_model_or_strategy_is_refused(request_, says):
    with pytest.raises(ProtocolError, match=re.escape(says)):
        TrainRequest.from_bytes(request_.to_bytes()).check(4, {"c": 2})


@pytest.mark.parametrize("name", ["", "naïve", "c\0d", "a" * 17])
def test_a_name_of_state_that_cannot_be_sent_is_refused(name):
    with pytest.raises(
        ProtocolError, match=re.escape(f"a strategy broadcasts {name!r}: name it with 1 to 16 ASCII characters")
    ):
        TrainRequest(np.zeros(1, np.float32), {name: np.zeros(1, np.float32)}).to_bytes()


def test_who_signs_a_model_signs_the_state_beside_it():
    weights, state = np.zeros(2, np.float32), {"c": np.zeros(1, np.float32)}
    digests = [
        model_digest(TrainRequest(weights)),
        model_digest(TrainRequest(weights, state)),
        model_digest(TrainRequest(weights, {"c": np.ones(1, np.float32)})),
        model_digest(TrainRequest(np.zeros(3, np.float32))),
    ]
    assert len(set(digests)) == len(digests)


def plan(**changes) -> RunPlan:
    values = {
        "session": SESSION, "roster": {0: b"roster"}, "model": {"class": "a:B", "args": [3]},
        "vocabulary": {"kind": "hashed"}, "strategy": {"name": "fedavg"}, "protection": {"name": "none"},
        "keys": {FIRST_OPENER: b"key"}, "layout": {"segments": []}, "sampled": 3, "rounds": 10,
        "kernels": {"stack": "auto"}, "seed": 5,
    }  # fmt: skip
    return RunPlan(**values | changes)


def test_a_plan_cannot_change_whoever_made_it():
    model = {"class": "a:B", "args": [3], "kwargs": {"sizes": [1, 2]}}
    made = plan(model=model)
    before = made.digest
    model["args"].append(4)
    model["kwargs"]["sizes"].append(3)
    for write in (
        lambda: made.roster.__setitem__(1, b"another"),
        lambda: made.model["kwargs"].__setitem__("dim", 2),
        lambda: made.model["args"].append(4),
        lambda: setattr(made, "seed", 1),
    ):
        with pytest.raises((TypeError, AttributeError)):
            write()
    assert made.digest == before == RunPlan.from_bytes(made.to_bytes()).digest
    assert made == plan(model={"class": "a:B", "args": [3], "kwargs": {"sizes": [1, 2]}})


@pytest.mark.parametrize(
    "change",
    [{"session": "text"}, {"roster": []}, {"model": {"args": [object()]}}, {"seed": 1.5}, {"seed": 2**64},
     {"seed": True}, {"sampled": None}, {"layout": b""}],
)  # fmt: skip
def test_a_plan_of_other_kinds_of_values_is_refused_by_name(change):
    with pytest.raises(ProtocolError, match=f"run plan's {next(iter(change))} is"):
        plan(**change)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_plan_whose_session_has_another_length_is_refused(length):
    with pytest.raises(ProtocolError, match=f"^the run plan's session has {length} bytes, 16 are needed$"):
        plan(session=bytes(length))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("sampled", 1, 10**7), ("rounds", 1, 2**32 - 1), ("seed", 0, 2**64 - 1), ("group_size", 0, 10**7)],
)
def test_the_numbers_of_a_plan_have_limits(name, least, most):
    for inside in (least, most):
        assert getattr(plan(**{name: inside}), name) == inside
    for outside in (least - 1, most + 1):
        with pytest.raises(
            ProtocolError, match=f"^the run plan's {name} is ({outside}: it must be {least} to {most}$|no plain)"
        ):
            plan(**{name: outside})


def test_a_plan_and_a_refusal_come_back():
    for body in (plan(), Refusal("too few: 2 of 3")):
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
    [(0, 0x58, "not a fedlearn message"), (2, 9, "version 9"), (3, 200, "kind 200"), (28, 0xFF, "not ASCII"),
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


@pytest.mark.parametrize("notice", [Counted, LeftOut])
def test_a_notice_has_no_more_to_say(notice):
    assert notice.from_bytes(notice().to_bytes()) == notice()
    with pytest.raises(ProtocolError, match=r"^a notice of 1 byte, it has none: send it again$"):
        notice.from_bytes(b"x")


@pytest.mark.parametrize("data", [b"", b"\0", b"\x04", b"\xff", b"\1\1", b"\1why"])
def test_a_loss_that_says_more_is_refused(data):
    with pytest.raises(ProtocolError, match="a loss of"):
        Loss.from_bytes(data)


def test_half_a_float_is_refused():
    with pytest.raises(ProtocolError, match="9 bytes"):
        TrainRequest.from_bytes(bytes(9))


@pytest.mark.parametrize(
    ("expected", "says"),
    [({"session": bytes(16)}, "a replay"), ({"step": Step(4, 1, "update")}, "expected round 4"),
     ({"step": Step(3, 2, "update")}, "attempt 2"), ({"step": Step(3, 1, "open")}, "phase open"),
     ({"sender": 8}, "expected client-8")],
)  # fmt: skip
def test_only_the_awaited_message_is_accepted(expected, says):
    message = Message.from_bytes(update())
    assert message.expect(Update, session=SESSION, step=STEP, sender=7).payload == b"abc"
    with pytest.raises(ProtocolError, match=says):
        message.expect(Update, **{"session": SESSION, "step": STEP, "sender": 7} | expected)
    with pytest.raises(ProtocolError, match="expected Opened"):
        message.expect(Opened, session=SESSION)


def test_party_names():
    openers, workers = (FIRST_OPENER, FIRST_OPENER - 2, FIRST_WORKER + 1), (FIRST_WORKER, FIRST_WORKER - 1)
    parties = (0, 41, AGGREGATOR, EVERYBODY, *openers, *workers)
    assert [transcript_name(party) for party in parties] == [
        "client:0", "client:41", "aggregator", "everybody",
        "opener:0", "opener:2", f"opener:{FIRST_OPENER - FIRST_WORKER - 1}", "worker:0", "worker:1",
    ]  # fmt: skip
    assert [party_name(party) for party in parties[:3]] == ["client-0", "client-41", "aggregator"]


def test_openers_stand_between_those_before_them_and_the_workers():
    inside, outside = (FIRST_OPENER, FIRST_WORKER + 1), (FIRST_OPENER + 1, FIRST_WORKER, AGGREGATOR, 0)
    assert [is_opener(party) for party in (*inside, *outside)] == [True, True, False, False, False, False]


@pytest.mark.parametrize("party", [-3, -5, -7, -15])
@pytest.mark.parametrize("field", ["sender", "recipient"])
def test_a_message_from_or_to_nobody_is_refused(party, field):
    parties = {"sender": 0, "recipient": AGGREGATOR, field: party}
    data = Message(SESSION, Step(1), body=Update(b"x"), **parties).to_bytes()
    with pytest.raises(ProtocolError, match=f"^message from or to party {party}, which there is not$"):
        Message.from_bytes(data)


def test_a_plan_holds_plain_data():
    with pytest.raises(ProtocolError, match="the run plan's model is no plain data: set cannot be sent; give"):
        plan(model={"classes": {1, 2}})
