"""Clients whose process is another one at each message: what an attempt has come to is written down in between."""

from __future__ import annotations

import pytest

from aggregator import Aggregator
from clients import InlinePool
from clients.session import LocalSession
from fedlearn.protocol import Loss, Message, Step, Update
from fedlearn.secure import Masks, Paillier, Plain
from tests.toys import TOY_BITS, toy_clients, toy_codec, toy_model, toy_strategy

CLIENTS = 5


class KeptKeys:
    """A vault in memory."""

    secrets = b""

    def keep(self, secrets: bytes) -> None:
        self.secrets = secrets

    def kept(self) -> bytes:
        return self.secrets


class ForgettingPool(InlinePool):
    """Each step finds a new session, with the state of the one before."""

    def open(self) -> None:
        super().open()
        self.vault, self.states = KeptKeys(), []
        self._session = LocalSession(self._clients, self.vault)

    def start(self, plan, log=None):
        self.plan = plan
        super().start(plan, log)

    def exchange(self, step, broadcast, inboxes):
        self._session = self.renewed(self.states[-1] if self.states else b"")
        yield from self._session.exchange(step, broadcast, inboxes)
        self.states.append(self._session.to_state())

    def renewed(self, state: bytes) -> LocalSession:
        session = LocalSession(self._clients, self.vault)
        session.join(self.plan)
        if state:
            session.from_state(state)
        return session


def fitted(pool, protection) -> bytes:
    model = toy_model()
    Aggregator(model, toy_strategy(), protection).fit(pool, rounds=2)
    return model.vector.tobytes()


@pytest.mark.parametrize(
    "protection",
    [
        Masks(codec=toy_codec(), min_cohort=3, corrupt=0.0),
        Paillier(key_bits=TOY_BITS, codec=toy_codec(), min_cohort=3, insecure_test_key=True),
    ],
    ids=["masks", "paillier"],
)
def test_a_model_is_the_same_where_each_message_finds_a_new_process(protection):
    expected = fitted(InlinePool(toy_clients(CLIENTS)), Plain(toy_codec()))
    assert fitted(ForgettingPool(toy_clients(CLIENTS)), protection) == expected


def test_a_restored_client_answers_no_phase_twice_and_reveals_in_one_attempt_only(monkeypatch):
    pool, asked = ForgettingPool(toy_clients(CLIENTS)), []
    exchange = ForgettingPool.exchange

    def noting(self, step, broadcast, inboxes):
        asked.append((step, inboxes))
        yield from exchange(self, step, broadcast, inboxes)

    monkeypatch.setattr(ForgettingPool, "exchange", noting)
    fitted(pool, Masks(codec=toy_codec(), min_cohort=3, corrupt=0.0))
    step, inboxes = asked[-1]
    assert step.phase == "unmask"
    for where in (step, Step(step.round, step.attempt + 1, "keys")):
        for answer in pool.renewed(pool.states[-1]).exchange(where, b"", {0: inboxes[0]}):
            assert Message.from_bytes(answer.data).body == Loss(Loss.REFUSED)
    fresh = Step(step.round + 1, 0, "keys")  # of another round it takes part
    (answer,) = pool.renewed(pool.states[-1]).exchange(fresh, b"", {0: b""})
    assert isinstance(Message.from_bytes(answer.data).body, Update)
