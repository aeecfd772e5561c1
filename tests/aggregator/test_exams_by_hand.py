"""What an exam of the model does and tells, beside values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aggregator import RoundRecord
from aggregator.exam import Exam
from aggregator.schedules import applied, factor_of
from aggregator.surveying import Survey
from fedlearn.errors import BadInput
from tests.toys import toy_clients, toy_model


def exam(watch=None, stop_after=None, every=1, evaluate=lambda model: {"loss": 1.0, "f1": 0.5}, of_clients=False):
    return Exam(evaluate, every, watch, stop_after, of_clients)


@pytest.mark.parametrize(("watch", "values", "best", "waited"), [
    ("f1", [0.5, 0.7, 0.7, 0.6], 2, 2), ("loss", [0.5, 0.7, 0.4, 0.4], 3, 1), ("f1:min", [0.5, 0.7, 0.4], 3, 0),
    ("loss:max", [0.5, 0.7, 0.4], 2, 1), ("f1", [math.nan, 0.1, math.nan], 2, 1), ("loss_p90", [3, 2, 4], 2, 1),
])  # fmt: skip
def test_the_best_round_and_how_long_ago_it_was(watch, values, best, waited):
    seen = exam(watch, stop_after=2)
    name = watch.partition(":")[0]
    records = [
        RoundRecord(i, evaluation_loss=v) if name == "loss" else RoundRecord(i, metrics={name: v})
        for i, v in enumerate(values, 1)
    ]
    noted = [seen.note(record) for record in records]
    assert (seen.best.round, seen.waited, seen.best.metric) == (best, waited, name)
    assert [i for i, found in enumerate(noted, 1) if found][-1] == best
    assert not seen.note(RoundRecord(9, evaluated=False))
    assert seen.waited == waited
    assert seen.over == (waited >= 2)
    assert seen.verdict == (f"no better {name} in {waited} evaluations" if waited >= 2 else "")
    again = exam(watch)
    again.recall(records)
    assert (again.best, again.waited) == (seen.best, seen.waited)
    assert not again.over


def test_the_turns_of_an_evaluation():
    asked, model = [], toy_model()
    for number, last, evaluated in ((1, False, False), (2, False, True), (3, True, True)):
        record = RoundRecord(number)
        exam(every=2, of_clients=True).take(record, model, model.vector, last, lambda: asked.append(1))
        assert record.evaluated is evaluated
        assert record.metrics == ({"f1": 0.5} if evaluated else {})
        assert record.evaluation_loss == (1.0 if evaluated else None)
    assert len(asked) == 2
    void = RoundRecord(1, void="nobody")
    exam(of_clients=True).take(void, model, model.vector, True, lambda: asked.append(1))
    assert len(asked) == 2
    nothing = RoundRecord(1)
    exam(evaluate=None).take(nothing, model, model.vector, False, lambda: asked.append(1))
    assert (nothing.evaluated, nothing.seconds) == (True, {})
    survey = Survey(toy_clients(), classes=2)
    for every, rounds, surveys in ((1, 5, 5), (2, 5, 3), (2, 4, 2), (9, 4, 1)):
        assert exam(every=every, of_clients=survey).surveys(rounds) == surveys
    assert exam().surveys(5) == 0


def test_an_exam_that_cannot_be():
    for given, text in (
        ({"evaluate": 5}, "evaluate is 5; give a function"),
        ({"of_clients": 5}, "evaluate_clients is 5; give Survey"),
        ({"every": 0}, "evaluate_every is 0"),
        ({"stop_after": 0}, "stop_after is 0"),
        ({"every": 2, "evaluate": None}, "evaluate_every is 2, and nothing is evaluated"),
        ({"watch": ""}, "watch is ''"),
        ({"watch": "f1:up"}, "watch is 'f1:up'"),
        ({"watch": 5}, "watch is 5"),
    ):
        with pytest.raises(BadInput, match=f"^{text}"):
            exam(**given)
    assert exam(stop_after=1).metric == "loss"
    assert exam().metric == ""
    exam("f1").check(toy_model())
    exam("loss", evaluate=None, of_clients=True).check(toy_model())
    for name in ("recall", "client_accuracy"):
        with pytest.raises(BadInput, match=f"'{name}', is not measured: choose loss, f1$"):
            exam(name).check(toy_model())


def test_shares_of_a_step():
    assert [factor_of(None, 4)(round) for round in (1, 4)] == [1.0, 1.0]
    assert [factor_of("step:2,gamma=0.5", 4)(round) for round in (1, 2, 3, 5)] == [1, 1, 0.5, 0.25]
    assert factor_of("cosine", 4)(3) == pytest.approx(0.5)
    assert factor_of(lambda round: 1 / round, 4)(2) == 0.5
    for bad in (lambda round: -1, lambda round: math.nan):
        with pytest.raises(BadInput, match="the server's learning rate in round 1"):
            factor_of(bad, 4)(1)
    before, after = np.full(2, 4.0, np.float32), np.array([2.0, 8.0], np.float32)
    assert applied(before, after, 1) is after
    assert applied(before, after, 0.25).tolist() == [3.5, 5.0]
