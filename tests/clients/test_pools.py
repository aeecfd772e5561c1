"""Pools run clients; whichever it is, the same answers come back, and a client's fault stays its own."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from clients import Client, InlinePool, ProcessPool
from fedlearn.autograd.recurrent import KernelPlan
from fedlearn.crypto import generate_keypair
from fedlearn.errors import BadInput, CodecError, FedlearnError, ProtocolError
from fedlearn.protocol import (
    AGGREGATOR,
    EVERYBODY,
    FIRST_OPENER,
    Enrolment,
    Lost,
    Message,
    Reply,
    RunPlan,
    Step,
    TrainRequest,
    Update,
)
from fedlearn.secure.layouts import layout_of
from fedlearn.secure.signed import check_signed, model_digest
from fedlearn.travel import description
from tests.toys import (
    TOY_BITS,
    FailingBags,
    toy_bags,
    toy_clients,
    toy_model,
    toy_paillier,
    toy_plain,
    toy_strategy,
)

SESSION = bytes(range(16))
STEP = Step(1, 0, "update")


def plan(**changes) -> bytes:
    model, strategy, protection = toy_model(), toy_strategy(), toy_plain()
    layout = layout_of(strategy.outputs(model.vector.size), protection.codec, strategy.max_weight)
    fields = {
        "session": SESSION,
        "roster": {},
        "model": model.spec(),
        "vocabulary": {},
        "strategy": description(strategy),
        "protection": description(protection),
        "keys": {},
        "layout": layout.to_dict(),
        "sampled": 3,
        "rounds": 2,
        "kernels": {"stack": "auto", "fold": False, "recurrent": KernelPlan().to_dict()},
        "seed": 3,
    }
    return Message(SESSION, Step(0), AGGREGATOR, EVERYBODY, RunPlan(**fields | changes)).to_bytes()


def request(step: Step = STEP, weights: np.ndarray | None = None) -> bytes:
    weights = toy_model().vector if weights is None else weights
    return Message(SESSION, step, AGGREGATOR, EVERYBODY, TrainRequest(weights)).to_bytes()


def started(pool, **changes):
    pool.open()
    pool.start(plan(**changes))
    return pool


def exchange(pool, cohort, step: Step = STEP) -> dict[int, Reply | Lost]:
    return {answer.client: answer for answer in pool.exchange(step, request(step), dict.fromkeys(cohort, b""))}


@pytest.fixture(params=["inline", "processes"])
def make_pool(request):
    pools = []

    def make(clients):
        pool = InlinePool(clients) if request.param == "inline" else ProcessPool(clients, workers=2)
        pools.append(pool)
        started(pool)
        return pool

    yield make
    for pool in pools:
        pool.close()


def test_every_pool_gives_the_same_bytes():
    answers = []
    for pool in (InlinePool(toy_clients(5)), ProcessPool(toy_clients(5), workers=1), ProcessPool(toy_clients(5), 3)):
        started(pool)
        answers.append(exchange(pool, [0, 2, 3, 4]))
        pool.close()
    assert sorted(answers[0]) == [0, 2, 3, 4]
    assert answers[0] == answers[1] == answers[2]
    message = Message.from_bytes(answers[0][2].data)
    assert (message.sender, message.recipient, message.step) == (2, AGGREGATOR, STEP)
    assert isinstance(message.body, Update)


def test_workers_that_answer_in_time_are_not_replaced():
    pool = ProcessPool(toy_clients(4), workers=2)
    pool.open()
    try:
        first = pool.process_ids
        pool.start(plan())
        assert set(exchange(pool, [0, 1, 2, 3])) == {0, 1, 2, 3}
        assert pool.process_ids == first
    finally:
        pool.close()


def test_what_a_client_trains_depends_on_its_round_and_not_on_who_came_before(make_pool):
    pool = make_pool(toy_clients(4))
    alone = exchange(pool, [3])
    together = exchange(pool, [0, 1, 2, 3])
    later = exchange(pool, [3], Step(2, 0, "update"))
    assert alone[3] == together[3]
    assert Message.from_bytes(later[3].data).body != Message.from_bytes(alone[3].data).body


def test_an_exception_shows_its_traceback_client_and_round_and_costs_that_client_only(make_pool, caplog):
    clients = [Client("bob", toy_bags(6, 0)), Client("alice", FailingBags(OSError("disk on fire")))]
    pool = make_pool([*clients, Client("sue", toy_bags(7, 2))])
    with caplog.at_level(logging.INFO):
        answers = exchange(pool, [0, 1, 2])
        pool.close()
    assert isinstance(answers[0], Reply)
    assert isinstance(answers[2], Reply)
    assert answers[1] == Lost(1, "OSError: disk on fire")
    record = next(record for record in caplog.records if "failed in round" in record.getMessage())
    assert (record.client, record.round) == ("alice", "1")
    shown = caplog.text
    assert "Traceback" in shown
    assert "in take" in shown
    assert "raise self.error" in shown


def test_bad_input_is_one_line_and_marked_as_refused(make_pool, caplog):
    pool = make_pool([Client("bob", FailingBags(CodecError("3 values are NaN")))])
    answers = exchange(pool, [0])
    pool.close()
    assert answers[0] == Lost(0, "3 values are NaN", refused=True)
    assert "Traceback" not in caplog.text


def test_a_request_that_does_not_fit_the_plan_is_refused(make_pool):
    pool = make_pool(toy_clients(1))
    small = request(weights=np.zeros(3, np.float32))
    (answer,) = pool.exchange(STEP, small, {0: b""})
    assert answer.refused
    assert "3 weights, the plan's model 41" in answer.reason
    (answer,) = pool.exchange(Step(2, 0, "update"), request(STEP), {0: b""})
    assert "expected round 2" in answer.reason


@pytest.mark.parametrize("pool", [InlinePool(toy_clients(1)), ProcessPool(toy_clients(1), 1)])
def test_a_plan_that_cannot_be_followed_fails_at_the_start(pool):
    with pytest.raises(BadInput, match="nowhere is named by a file of others"):
        started(pool, strategy={"class": "nowhere:NoSuch", "name": "nosuch", "arguments": {}})
    pool.close()


class KillsItsWorker:
    """The first time it is read, the worker process that holds it dies by SIGKILL."""

    def __init__(self, mark):
        self.mark = mark

    def __len__(self):
        return 4

    def take(self, order):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return toy_bags(4, 1).take(order)


def test_a_killed_worker_is_replaced_and_its_clients_are_to_be_tried_again(tmp_path):
    healthy = toy_clients(4)
    clients = [healthy[0], Client("client-1", KillsItsWorker(tmp_path / "killed")), healthy[2], healthy[3]]
    pool = ProcessPool(clients, workers=2)
    started(pool)
    before = pool.process_ids
    first = exchange(pool, [0, 1, 2, 3])
    assert all(isinstance(first[client], Reply) for client in (0, 2))
    assert all(first[client].again for client in (1, 3))
    assert "SIGKILL" in first[1].reason
    assert pool.process_ids[0] == before[0]
    assert pool.process_ids[1] != before[1]
    second = exchange(pool, [0, 1, 2, 3], Step(1, 1, "update"))
    assert all(isinstance(answer, Reply) for answer in second.values())
    pool.close()


def kill(worker: int) -> None:
    """End a worker process by SIGKILL, and come back when it is dead."""
    (process,) = (child for child in multiprocessing.active_children() if child.pid == worker)
    process.kill()
    process.join()


def test_a_worker_killed_between_rounds_is_noticed_and_replaced():
    pool = ProcessPool(toy_clients(2), workers=2)
    started(pool)
    kill(pool.process_ids[0])
    answers = exchange(pool, [0, 1])
    assert answers[0].again
    assert isinstance(answers[1], Reply)
    assert isinstance(exchange(pool, [0])[0], Reply)
    pool.close()


@pytest.mark.parametrize("make_pool", [InlinePool, ProcessPool])
def test_a_call_out_of_turn_says_which_comes_first(make_pool, tmp_path):
    pool = make_pool(toy_clients())
    calls = {
        "enrol": lambda: pool.enrol(SESSION),
        "start": lambda: pool.start(plan()),
        "exchange": lambda: list(pool.exchange(STEP, b"", {0: b""})),
        "remember": lambda: pool.remember(tmp_path, 0),
        "settle": lambda: pool.settle(b"", [0], [1]),
    }
    first = {"enrol": "open", "start": "open", "exchange": "start", "remember": "start", "settle": "remember"}
    for call, before in first.items():
        with pytest.raises(BadInput, match=rf"call the pool's {before}\(\) before this"):
            calls[call]()
    pool.close()
    pool.open()
    for call in ("exchange", "remember", "settle"):
        with pytest.raises(BadInput, match=rf"call the pool's {first[call]}\(\) before this"):
            calls[call]()
    pool.close()
    with pytest.raises(BadInput, match=r"call the pool's open\(\) before this"):
        pool.enrol(SESSION)


def test_closing_leaves_no_process_behind():
    pool = ProcessPool(toy_clients(3), workers=3)
    started(pool)
    workers = {child for child in multiprocessing.active_children() if child.pid in pool.process_ids}
    assert len(workers) == 3
    assert all(worker.daemon for worker in workers)  # so that they end with this process, too
    pool.close()
    assert workers.isdisjoint(multiprocessing.active_children())
    assert [worker.exitcode for worker in workers] == [0, 0, 0]  # by themselves


def test_no_more_workers_than_clients_and_at_least_one():
    with pytest.raises(BadInput, match="workers is 0"):
        ProcessPool(toy_clients(1), workers=0)
    pool = ProcessPool(toy_clients(2), workers=8)
    started(pool)
    assert len(pool.process_ids) == 2
    pool.close()


def test_a_client_that_cannot_be_unpickled_says_so():
    pool = ProcessPool([Client("bob", Unreadable())], workers=1)
    with pytest.raises(FedlearnError, match="before it was ready"):
        started(pool)
    pool.close()


class Unreadable:
    def __len__(self):
        return 1

    def take(self, rows):
        return self

    def __setstate__(self, state):
        raise RuntimeError("made on another planet")

    def __getstate__(self):
        return {"a": 1}


@pytest.mark.parametrize("pool", [InlinePool(toy_clients(3)), ProcessPool(toy_clients(3), 2)])
def test_every_client_enrols_with_a_key_of_its_own(pool):
    pool.open()
    messages = [Message.from_bytes(data) for data in pool.enrol(SESSION)]
    keys = {message.sender: message.expect(Enrolment, session=SESSION).payload for message in messages}
    assert sorted(keys) == [0, 1, 2]
    assert len(set(keys.values())) == 3
    pool.close()


def test_a_client_signs_with_the_same_key_after_its_worker_was_killed():
    protection = toy_paillier()
    public, _ = generate_keypair(TOY_BITS, insecure_test_key=True)
    pool = ProcessPool(toy_clients(2), workers=1)
    pool.open()
    messages = [Message.from_bytes(data) for data in pool.enrol(SESSION)]
    about = description(protection)
    agreed = plan(roster={m.sender: m.body.payload for m in messages}, protection=about,
                  keys={FIRST_OPENER: public.to_bytes()})  # fmt: skip
    pool.start(agreed)
    kill(pool.process_ids[0])
    assert exchange(pool, [0, 1])[0].again
    later = Step(1, 1, "update")
    answer = Message.from_bytes(exchange(pool, [1], later)[1].data)
    read = Message.from_bytes(agreed).body
    signed = check_signed(read, later, 1, answer.body.payload)
    assert signed.model == model_digest(TrainRequest(toy_model().vector))
    for wrong in (Step(1, 0, "update"), Step(2, 1, "update")):
        with pytest.raises(ProtocolError, match="altered or replayed"):
            check_signed(read, wrong, 1, answer.body.payload)
    with pytest.raises(ProtocolError, match="client-0 did not sign"):
        check_signed(read, later, 0, answer.body.payload)
    with pytest.raises(ProtocolError, match="not in the roster"):
        check_signed(read, later, 7, answer.body.payload)
    damaged = answer.body.payload[:-1] + bytes([answer.body.payload[-1] ^ 1])
    with pytest.raises(ProtocolError, match="altered"):
        check_signed(read, later, 1, damaged)
    pool.close()


def test_clients_of_this_process_take_one_thread_for_as_long_as_their_pool_is_open():
    def threads() -> set[int]:
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    with threadpool_limits(2):
        pool = InlinePool(toy_clients())
        pool.open()
        assert threads() == {1}
        pool.close()
        assert threads() == {2}
