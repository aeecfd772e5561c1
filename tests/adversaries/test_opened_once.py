"""Once a sum may have become readable, its round is never tried again with other clients."""

from __future__ import annotations

import pytest

from aggregator import Aggregator
from clients import InlinePool
from clients.session import LocalSession
from fedlearn.errors import NothingLearned
from fedlearn.protocol import Loss, Lost, Message, Reply, Step
from fedlearn.secure import Masks
from tests.adversaries.parties import honest_rest
from tests.toys import toy_clients, toy_codec, toy_model, toy_strategy

COUNT = 8


class DyingPool(InlinePool):
    """In attempt 0 client 5 is absent for a moment, and the worker of `dying` clients ends while it unmasks."""

    def __init__(self, clients, dying):
        super().__init__(clients)
        self._dying = dying
        self.attempts: list[tuple[int, int, str]] = []

    def exchange(self, step, broadcast, inboxes):
        self.attempts.append((step.round, step.attempt, step.phase))
        for answer in super().exchange(step, broadcast, inboxes):
            client = answer.clients[0]
            if step.attempt == 0 and step.phase == "update" and client == 5:
                yield Lost(client, "its disk was busy")
            elif step.attempt == 0 and step.phase == "unmask" and client in self._dying:
                yield Lost(client, "its worker ended", again=True)
            else:
                yield answer


def fit(pool, rounds=1):
    model = toy_model()
    history = Aggregator(model, toy_strategy(), Masks(toy_codec()), seed=5).fit(pool, rounds)
    return model.vector.tobytes(), history


def test_a_worker_that_ends_while_it_unmasks_does_not_bring_the_round_back():
    """Else two sums would open, that differ by client 5's update."""
    pool = DyingPool(toy_clients(COUNT), dying={6})
    weights, history = fit(pool)
    assert {attempt for _, attempt, _ in pool.attempts} == {0}
    assert history.rounds[0].clients_ok == 7
    assert weights == honest_rest(5, COUNT)


def test_too_few_unmask_and_the_round_is_void():
    pool = DyingPool(toy_clients(COUNT), dying=set(range(COUNT)) - {5})
    with pytest.raises(NothingLearned) as ended:
        fit(pool)
    assert {attempt for _, attempt, _ in pool.attempts} == {0}
    assert ended.value.history.rounds[0].void


def test_a_client_that_gave_shares_away_takes_part_in_no_other_attempt(monkeypatch, caplog):
    """An aggregator that tries the round again all the same is refused by the clients."""
    sessions = []
    made = LocalSession.__init__
    monkeypatch.setattr(LocalSession, "__init__", lambda self, *a, **k: (sessions.append(self), made(self, *a, **k))[1])
    fit(InlinePool(toy_clients(4)))
    (session,) = sessions
    again = list(session.exchange(Step(1, 1, "keys"), b"", dict.fromkeys(range(4), b"")))
    assert [Message.from_bytes(answer.data).body for answer in again] == [Loss(Loss.REFUSED)] * 4
    assert caplog.text.count("takes part in no other attempt") == 4
    other = list(session.exchange(Step(2, 0, "keys"), b"", dict.fromkeys(range(4), b"")))
    assert [type(answer) for answer in other] == [Reply] * 4
