"""An opener at its desk: what it is sent and what it answers, message by message."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlearn.crypto.signing import SigningKey
from fedlearn.errors import ProtocolError, RoundVoid
from fedlearn.protocol import AGGREGATOR, EVERYBODY, Message, Opened, OpenerKey, OpenRequest, Refusal, Step, Update
from fedlearn.secure.desk import Desk
from fedlearn.secure.paillier import KEY_HOLDER, KeyHolder
from fedlearn.secure.pki import Pki
from fedlearn.secure.signed import Signed, sign
from tests.secure.plans import plan_of
from tests.toys import toy_paillier

SESSION, OPEN = bytes(16), Step(1, 0, "open")
PROTECTION = toy_paillier()
SIGNING = [SigningKey(bytes([client] * 32)) for client in range(3)]


class Failing(KeyHolder):
    def open(self, step, request):
        raise RuntimeError("secret words")


def at_work(kind=KeyHolder, pki=None, key=None):
    """A desk that joined a plan, and that plan. key: in the plan, where it is not the opener's own."""
    opener = kind(PROTECTION.key_bits, PROTECTION.min_cohort, None, True)
    desk = Desk(opener, KEY_HOLDER, SESSION, pki)
    shown = Message.from_bytes(desk.key())
    assert shown == Message(SESSION, Step(0), KEY_HOLDER, AGGREGATOR, OpenerKey(opener.public_key()))
    plan = plan_of(PROTECTION, 4, {KEY_HOLDER: key or opener.public_key()})
    plan = replace(plan, roster={client: key.public for client, key in enumerate(SIGNING)})
    desk.join(Message(SESSION, Step(0), AGGREGATOR, EVERYBODY, plan).to_bytes())
    return desk, plan


def answer(desk: Desk, body, step: Step = OPEN, sender: int = AGGREGATOR, session: bytes = SESSION) -> str | bytes:
    """Why it refuses, or what it opened; in the step that was asked for."""
    said = Message.from_bytes(desk.receive(Message(session, step, sender, KEY_HOLDER, body).to_bytes()))
    assert (said.session, said.step, said.sender, said.recipient) == (SESSION, step, KEY_HOLDER, AGGREGATOR)
    assert isinstance(said.body, Opened | Refusal)
    return said.body.reason if isinstance(said.body, Refusal) else said.body.payload


def send(desk: Desk, plan, client: int, payload: bytes, session: bytes = SESSION) -> None:
    step = Step(1, 0, "update")
    data = sign(SIGNING[client], plan, step, client, Signed(bytes(32), payload))
    assert desk.receive(Message(session, step, client, AGGREGATOR, Update(data)).to_bytes()) is None


def encrypted(plan, clients: int = 3):
    public = PROTECTION.encryption_key(plan)
    return [public.encrypt(np.arange(4) + client, PROTECTION.codec) for client in range(clients)]


def test_it_takes_updates_and_opens_their_sum():
    desk, plan = at_work()
    vectors = encrypted(plan)
    for client, vector in enumerate(vectors):
        send(desk, plan, client, vector.to_bytes())
    opened = answer(desk, OpenRequest(sum(vectors[1:], vectors[0]).to_bytes()))
    assert opened[:8] == (0 + 1 + 2).to_bytes(8, "little")


def test_the_aggregator_takes_what_it_opened_and_nothing_else():
    desk, plan = at_work()
    vectors = encrypted(plan)
    server = PROTECTION.server(plan, Step(1))
    for client, vector in enumerate(vectors):
        send(desk, plan, client, vector.to_bytes())
        server.receive("update", client, vector.to_bytes())
    (request,) = server.requests("open", {}).values()
    opened = answer(desk, OpenRequest(request))
    assert server.finish({KEY_HOLDER: opened}).tolist() == [3, 6, 9, 12]
    for place in (0, 8 * 4, len(opened) - 64):  # in the sum, in the last plaintext, in the proof
        other = bytearray(opened)
        other[place] ^= 1
        with pytest.raises(RoundVoid, match="is not what the ciphertexts hold: it is not used"):
            server.finish({KEY_HOLDER: bytes(other)})


@pytest.mark.parametrize("session", [SESSION, bytes(15) + b"\1"])
def test_what_nobody_signed_for_it_voids_the_attempt(session):
    """A signature of another client, or a message of another session."""
    desk, plan = at_work()
    vectors = encrypted(plan)
    for client in (0, 1):
        send(desk, plan, client, vectors[client].to_bytes())
    if session == SESSION:
        data = sign(SIGNING[0], plan, Step(1, 0, "update"), 0, Signed(bytes(32), vectors[2].to_bytes()))
        assert desk.receive(Message(SESSION, Step(1, 0, "update"), 2, AGGREGATOR, Update(data)).to_bytes()) is None
        reason = "client-2 did not sign this payload"
    else:
        send(desk, plan, 2, vectors[2].to_bytes(), session)
        reason = "message of session 00000000000000000000000000000001, this is session 0"
    assert answer(desk, OpenRequest(b"")).startswith(reason)


def test_it_says_why_it_opens_nothing(tmp_path):
    desk, _ = at_work()
    assert answer(desk, OpenRequest(b"")) == f"no signed update of {OPEN} was seen: nothing can be opened"
    assert answer(desk, OpenRequest(b""), sender=0) == "message from client-0, expected aggregator"
    assert answer(desk, OpenRequest(b""), session=b"x" * 16).startswith("message of session 7878")
    assert answer(desk, Opened(b"")) == "got Opened, expected OpenRequest"
    other = Message.from_bytes(desk.receive(b"noise"))
    assert (other.step, other.body.reason[:20]) == (Step(0), "message of 5 bytes i")
    desk, _ = at_work(key=PROTECTION.encryption_key(at_work()[1]).to_bytes())
    assert answer(desk, OpenRequest(b"")) == "the run plan names another key than this opener's"
    desk, _ = at_work(pki=Pki(tmp_path))
    assert answer(desk, OpenRequest(b"")).startswith("the plan's roster has client-0, who is that? ")
    desk, _ = at_work(Failing)
    assert answer(desk, OpenRequest(b"")) == "failed (RuntimeError): see this opener's own log"


@pytest.mark.parametrize(("sender", "session"), [(0, SESSION), (AGGREGATOR, b"x" * 16)])
def test_a_plan_is_the_aggregators_of_this_session(sender, session):
    desk, plan = at_work()
    with pytest.raises(ProtocolError, match=r"expected aggregator|this is session"):
        desk.join(Message(session, Step(0), sender, EVERYBODY, plan).to_bytes())
