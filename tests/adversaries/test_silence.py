"""No party is waited for without a limit: stopped processes cost what they had to say, and are named."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from fedlearn.channel import Deadline
from fedlearn.errors import FedlearnError, NothingLearned
from fedlearn.models import SpamClassifier
from fedlearn.secure import Threshold
from fedlearn.testing.toys import messages
from tests.toys import TOY_BITS, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

COUNT, PATIENCE = 6, 3.0


def opener(number: int) -> int:
    """Its process id."""
    (found,) = [child.pid for child in multiprocessing.active_children() if child.name == f"opener:{number}"]
    assert found is not None
    return found


def fit(protection, pool, signal_after_first_round, rounds=3):
    """History of a run in which something happens to a process after round 1, and how long it took."""
    rounds_seen = []

    def evaluate(model):
        rounds_seen.append(0)
        if len(rounds_seen) == 1:
            signal_after_first_round()
        return {}

    began = time.monotonic()
    aggregator = Aggregator(toy_model(), toy_strategy(), protection, seed=5, evaluate=evaluate, deadline=PATIENCE)
    try:
        history = aggregator.fit(pool, rounds)
    except NothingLearned as nothing:
        history = nothing.history
    return history, time.monotonic() - began


@pytest.mark.parametrize("protection", [toy_plain, toy_paillier])
def test_a_stopped_worker_costs_its_clients_one_round(protection):
    pool = ProcessPool(toy_clients(COUNT), workers=2)  # which has the aggregator's deadline
    history, seconds = fit(protection(), pool, lambda: os.kill(pool.process_ids[0], signal.SIGSTOP))
    assert [record.clients_ok for record in history.rounds] == [COUNT, COUNT // 2, COUNT]
    assert set(history.rounds[1].lost) == {0, 2, 4}
    assert set(history.rounds[1].lost.values()) == {"came too late"}
    assert seconds < 40


def threshold():
    return Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_trustee_that_is_silent_or_dead_is_named_and_the_run_goes_on(how, caplog):
    history, _ = fit(threshold(), InlinePool(toy_clients(COUNT)), lambda: os.kill(opener(1), how))
    assert [record.void for record in history.rounds] == [None] * 3
    assert [list(record.absent) for record in history.rounds] == [[], ["opener:1"], ["opener:1"]]
    if how == signal.SIGKILL:
        assert "opener:1 ended (SIGKILL)" in caplog.text


def test_too_many_silent_trustees_end_the_run_by_name():
    def stop():
        for number in (1, 2):
            os.kill(opener(number), signal.SIGSTOP)

    with pytest.raises(FedlearnError, match=r"opener:1 said nothing for 3 s and was ended; opener:2 said nothing"):
        fit(threshold(), InlinePool(toy_clients(COUNT)), stop)


def test_a_silent_key_holder_ends_the_run_by_name():
    with pytest.raises(FedlearnError, match=r"opener:0 said nothing for 3 s and was ended"):
        fit(toy_paillier(), InlinePool(toy_clients(COUNT)), lambda: os.kill(opener(0), signal.SIGSTOP))


def test_the_deadline_follows_the_longest_answer_so_far():
    deadline = Deadline()
    assert deadline.seconds == 900
    deadline.note(0.5)
    assert deadline.seconds == 60
    deadline.note(10)
    deadline.note(2)
    assert deadline.seconds == 200
    assert Deadline(5.0).seconds == 5


def test_a_quick_echo_does_not_shorten_the_time_for_an_opening(monkeypatch):
    """Of 1,000 ciphertexts and more an opening takes long, beside an echo of the same sum."""
    monkeypatch.setattr("fedlearn.channel.Deadline.LEAST", 0.05)
    monkeypatch.setattr("fedlearn.channel.Deadline.TIMES", 1.0)
    people = [Client(f"client-{i}", messages(6, seed=i)) for i in range(3)]
    hidden = Threshold(2, 3, 512, insecure_test_key=True)
    model = SpamClassifier(2**14)
    assert Aggregator(model, protection=hidden).fit(InlinePool(people), 1).counted == 1
