"""What clients of a session answer to a message that is not for them, and what they do before and after the others."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace

import msgpack
import numpy as np
import pytest

from clients import Client, InlinePool
from clients.session import gathered, too_late
from clients.task import Task
from clients.training import LocalTraining
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.groups import cut
from fedlearn.models.mlp import MLP
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import (
    AGGREGATOR,
    EVERYBODY,
    Body,
    Enrolment,
    LeftOut,
    Loss,
    Lost,
    Marks,
    Message,
    Reply,
    Step,
    TrainRequest,
    read_plan,
)
from fedlearn.queries.classes import ClassCounts
from fedlearn.sampling import Uniform, described
from fedlearn.secure import Masks, Plain
from fedlearn.secure.counts import CountLayout
from fedlearn.secure.layouts import layout_of
from fedlearn.secure.noised import CLIP
from fedlearn.secure.rounds import RoundLayout
from fedlearn.testing.toys import dense_examples
from fedlearn.travel import description
from tests.clients.test_pools import SESSION, STEP, exchange, plan, started
from tests.toys import FailingBags, toy_bags, toy_clients, toy_codec, toy_model, toy_plain, toy_strategy

COUNT, SIZE = 6, 2


def sent(step: Step, body: Body, session: bytes = SESSION) -> bytes:
    return Message(session, step, AGGREGATOR, EVERYBODY, body).to_bytes()


def answers(pool: InlinePool, step: Step, notice: bytes, clients=range(COUNT)) -> dict[int, Body | Lost]:
    """What each client says, or why there is nothing."""
    found = {answer.client: answer for answer in pool.exchange(step, notice, dict.fromkeys(clients, b""))}
    return {c: Message.from_bytes(a.data).body if isinstance(a, Reply) else a for c, a in found.items()}


def masked(clients, **changes) -> InlinePool:
    pool = InlinePool(clients)
    pool.open()
    enrolled = [Message.from_bytes(data) for data in pool.enrol(SESSION)]
    roster = {message.sender: message.expect(Enrolment, session=SESSION, step=Step(0)).payload for message in enrolled}
    pool.start(plan(protection=description(Masks(toy_codec())), roster=roster, sampled=COUNT, **changes))
    return pool


def test_a_client_hears_that_its_own_group_is_left_out_and_answers_nothing_else():
    groups = cut(3, 1, range(COUNT), SIZE)
    with closing(masked(toy_clients(COUNT), group_size=SIZE, sampling=described(Uniform(), COUNT, COUNT))) as pool:
        for number, group in enumerate(groups):
            step = Step(1, 0, LeftOut.PHASE, number)
            found = answers(pool, step, sent(step, LeftOut()))
            assert {client for client, said in found.items() if isinstance(said, LeftOut)} == group
            assert {type(said) for said in found.values()} == {LeftOut, Loss}
            for odd in (sent(Step(2, 0, LeftOut.PHASE, number), LeftOut()), sent(step, LeftOut(), bytes(16)), b"odd"):
                assert {type(said) for said in answers(pool, step, odd).values()} == {Loss}


def test_under_no_protection_whoever_is_told_answers():
    """Which group a client is in is then for the aggregator to say."""
    step = Step(1, 0, LeftOut.PHASE, 7)
    with closing(started(InlinePool(toy_clients()))) as pool:
        assert {type(said) for said in answers(pool, step, sent(step, LeftOut()), range(3)).values()} == {LeftOut}
        odd = sent(Step(2, 0, LeftOut.PHASE, 7), LeftOut())
        assert all(isinstance(said, Lost) and said.refused for said in answers(pool, step, odd, range(3)).values())


NOISE = Terms.fitting(
    2**23 - 1, where="clients", noise=1.0, clip=1.0, expected=3, min_cohort=3, honest=1.0, seed=None, adaptive=0.0,
    unit="client", rate=1.0, most=1,
)  # fmt: skip


def noisy(terms: Terms = NOISE) -> dict:
    strategy = toy_strategy()
    outputs = strategy.outputs(toy_model().vector.size)
    layout = layout_of(outputs, toy_codec(), strategy.max_weight, terms)
    return {"privacy": terms.to_dict(), "layout": layout.to_dict()}


def asking() -> dict:
    query = ClassCounts(2)
    layout = CountLayout.of_counts(query.entries(), toy_codec())
    return {"model": {}, "strategy": description(query), "layout": layout.to_dict()}


def test_how_a_model_does_on_one_clients_examples_is_told_without_protection_and_noise_alone():
    step = Step(1, 0, Marks.PHASE)
    request = sent(step, TrainRequest(toy_model().vector))
    with closing(started(InlinePool(toy_clients()))) as pool:
        marks = [msgpack.unpackb(said.payload) for said in answers(pool, step, request, range(3)).values()]
        assert [found.keys() for found in marks] == [{"loss", "accuracy"}] * 3
        other = sent(step, TrainRequest(toy_model().vector + np.float32(1)))
        again = [msgpack.unpackb(said.payload) for said in answers(pool, step, other, range(3)).values()]
        assert all(one["loss"] != two["loss"] for one, two in zip(marks, again, strict=True))
    for pool, silent in (
        (masked(toy_clients(COUNT)), Loss), (started(InlinePool(toy_clients()), **noisy()), Lost),
        (started(InlinePool(toy_clients()), **asking()), Lost),
    ):  # fmt: skip
        with closing(pool):
            assert {type(said) for said in answers(pool, step, request, range(3)).values()} == {silent}


@pytest.mark.parametrize("clip", [0.0, -1.0, np.nan, np.inf])
def test_a_request_with_a_clip_that_is_none_is_refused_by_each_client(clip):
    request = sent(STEP, TrainRequest(toy_model().vector, {CLIP: np.array([clip], np.float32)}))
    with closing(started(InlinePool(toy_clients()), **noisy(replace(NOISE, adaptive=0.5)))) as pool:
        for said in answers(pool, STEP, request, range(3)).values():
            assert said.refused
            assert said.reason.startswith("the request's clip is")


def test_of_each_encoded_piece_the_sum_fits_its_integers():
    model, codec = MLP((6, 5, 3), rng=np.random.default_rng(0)), FixedPoint(32, 4.0, 16)
    strategy = toy_strategy()
    layout = layout_of(strategy.outputs(model.vector.size), codec, strategy.max_weight)
    data = plan(model=model.spec(), protection=description(Plain(codec)), layout=layout.to_dict())
    training = LocalTraining(read_plan(data), [Client(f"c{i}", dense_examples(4, i)) for i in range(5)])
    task = Task(1, model.vector.copy(), {}, RoundLayout.of(read_plan(data), training.layout, 1, model.vector, {}))
    assert [len(found.clients) for found in training.updates(range(5), task)] == [1] * 5


def test_under_no_protection_nobody_asks_whether_it_was_drawn():
    with closing(started(InlinePool(toy_clients()), sampling=described(Uniform(), 3, 1))) as pool:
        assert all(isinstance(said, Reply) for said in exchange(pool, range(3)).values())


def test_a_plan_that_says_nonsense_of_sampling_is_refused_at_the_start():
    for odd in ({"population": 0}, {"size": 7}, {"size": None}):
        with pytest.raises(BadInput, match="the plan's"), closing(InlinePool(toy_clients())) as pool:
            started(pool, sampling=described(Uniform(), 6, 3) | odd)


def test_a_plan_whose_vectors_hold_something_else_is_refused():
    strategy, codec = toy_strategy(), toy_plain().codec
    outputs = strategy.outputs(toy_model().vector.size)
    for layout in (layout_of(outputs, codec, strategy.max_weight + 1), layout_of(strategy.outputs(9), codec, 64)):
        with pytest.raises(ProtocolError, match=r"^the plan's layout is not that of fedavg on a model of 41 weights$"):
            started(InlinePool(toy_clients()), layout=layout.to_dict())


def test_each_phase_logs_a_traceback_of_its_own(caplog):
    clients = [Client(f"c{i}", FailingBags(OSError("disk on fire"))) for i in range(2)]
    with closing(started(InlinePool([*clients, Client("sue", toy_bags(7, 2))]))) as pool:
        for _ in range(2):
            found = exchange(pool, range(3))
            assert [bool(found[client].trace) for client in range(2)] == [True, False]
    failed = [bool(record.exc_info) for record in caplog.records if record.levelno == logging.ERROR]
    assert failed == [True, False] * 2


def test_answers_of_so_much_work_go_up_together(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def worked(*seconds: float):
        for number, took in enumerate(seconds):
            now[0] += took
            yield number

    assert list(gathered(worked(1, 1, 1, 3, 2, 1), 2)) == [[0, 1, 2], [3], [4, 5]]
    assert list(gathered(worked(1, 1), 2)) == [[0, 1]]
    assert list(gathered(worked(3), 2)) == [[0]]
    assert list(gathered(worked(), 2)) == []


def test_who_came_too_late_is_said_to_have():
    said = Message.from_bytes(too_late(SESSION, STEP, 4).data)
    assert said == Message(SESSION, STEP, 4, AGGREGATOR, Loss(Loss.LATE))
