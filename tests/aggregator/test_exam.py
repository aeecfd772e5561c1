"""Schedules of the server's learning rate, evaluation every few rounds, the best model, and when to stop."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from safetensors.numpy import load_file

from aggregator import Aggregator, CsvTracker, History, RunFolder
from aggregator.schedules import applied, factor_of
from clients import Client, InlinePool
from fedlearn.errors import BadInput
from fedlearn.optim.lr_scheduler import LRScheduler
from fedlearn.testing.toys import dense_examples, dense_model

PEOPLE = [Client(f"client-{i}", dense_examples(4, seed=i)) for i in range(4)]


def run(rounds: int = 6, **options) -> tuple[Aggregator, History]:
    aggregator = Aggregator(dense_model(), protection="none", **options)
    return aggregator, aggregator.fit(InlinePool(PEOPLE), rounds)


class Says:
    """An evaluation that returns what it is told, one value a call, and remembers the weights."""

    def __init__(self, *values: float, name: str = "score"):
        self.values, self.name, self.seen = list(values), name, []

    def __call__(self, model):
        self.seen.append(model.vector.copy())
        return {self.name: self.values[min(len(self.seen), len(self.values)) - 1]}


class Halves(LRScheduler):
    def rate(self, step, base):
        return base / 2**step


# Schedules


@pytest.mark.parametrize(
    ("given", "factors"),
    [
        (None, [1, 1, 1, 1]),
        ("cosine", [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]),
        ("cosine:2", [1, 0.5, 0, 0.5]),
        ("step:2,gamma=0.5", [1, 1, 0.5, 0.5]),
        ("exponential:0.5", [1, 0.5, 0.25, 0.125]),
        ("linear:0.5,total_iters=2", [0.5, 0.75, 1, 1]),
        ("polynomial", [1, 0.75, 0.5, 0.25]),
        ("tests.aggregator.test_exam:Halves", [1, 0.5, 0.25, 0.125]),
        (lambda round: 1 / round, [1, 1 / 2, 1 / 3, 1 / 4]),
    ],
)
def test_a_schedule_says_what_part_of_each_step_is_taken(given, factors):
    factor = factor_of(given, 4)
    assert [factor(round) for round in range(1, 5)] == pytest.approx(factors)


def test_the_step_is_scaled_and_a_whole_one_changes_no_bit():
    plain, scheduled = run()[0].model.vector, run(server_lr_schedule=lambda round: 1)[0].model.vector
    np.testing.assert_array_equal(plain, scheduled)
    assert not np.array_equal(plain, run(server_lr_schedule="cosine")[0].model.vector)
    start, after = dense_model().vector, run(1)[0].model.vector
    half = run(1, server_lr_schedule=lambda round: 0.5)[0].model.vector
    np.testing.assert_array_equal(half, start + np.float32(0.5) * (after - start))
    still = run(3, server_lr_schedule=lambda round: float(round < 2))[0].model.vector
    np.testing.assert_array_equal(still, after)
    assert applied(start, after, 1.0) is after


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("cosin", "did you mean 'cosine'"),
        ("step", "schedule step needs step_size"),
        ("step:0", "step_size is 0"),
        ("exponential:gamma=fast", "gamma is 'fast'"),
        ("aggregator.history:Best", "derive it from fedlearn.optim.lr_scheduler.LRScheduler"),
        (0.5, "server_lr_schedule is 0.5"),
        (lambda round: -1.0, "the server's learning rate in round 1 is -1"),
        (lambda round: math.nan, "the server's learning rate in round 1"),
    ],
)
def test_what_is_no_schedule_is_refused(given, says):
    with pytest.raises(BadInput, match=says):
        run(server_lr_schedule=given)


# Evaluation


def test_the_model_is_measured_every_few_rounds_and_after_the_last(tmp_path):
    table = CsvTracker(tmp_path / "rounds.csv")
    exam = Says(1.0)
    _, history = run(7, evaluate=exam, evaluate_every=3, trackers=[table], folder=tmp_path / "run")
    assert [record.round for record in history.rounds if record.evaluated] == [3, 6, 7]
    assert len(exam.seen) == 3
    assert history.metrics["score"] == 1.0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("score") for row in rows] == [None, None, 1.0, None, None, 1.0, 1.0]
    assert [row["loss"] is None for row in rows] == [True, True, False, True, True, False, False]
    with open(table.path, newline="") as lines:
        assert [row["score"] for row in csv.DictReader(lines)] == ["", "", "1.0", "", "", "1.0", "1.0"]


def test_the_best_model_is_kept(tmp_path):
    exam = Says(0.0, 0.1, 0.9, 0.5, math.nan, 0.9, 0.2)  # the first before anything is trained
    aggregator, history = run(6, evaluate=exam, watch="score", folder=tmp_path / "run")
    assert (history.best.round, history.best.value, history.stopped) == (2, 0.9, "")
    kept = np.concatenate([array.reshape(-1) for array in load_file(tmp_path / "run" / "best.safetensors").values()])
    assert sorted(kept) == sorted(exam.seen[2])
    np.testing.assert_array_equal(aggregator.best_weights, exam.seen[2])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["best"]["round"] == 2


@pytest.mark.parametrize(
    ("watch", "name", "best"),
    [("score", "score", 3), ("score:min", "score", 1), ("loss", "loss", 1), ("loss:max", "loss", 3),
     ("test_perplexity", "test_perplexity", 1)],
)  # fmt: skip
def test_what_is_better_follows_from_the_name_or_is_said(watch, name, best):
    _, history = run(3, evaluate=Says(2.0, 1.0, 2.0, 3.0, name=name), watch=watch)
    assert history.best.round == best


def test_a_run_stops_where_nothing_gets_better_and_does_not_go_on(tmp_path):
    exam = Says(0.0, 0.1, 0.9, 0.5, 0.8, 0.9, 1.0)
    folder = tmp_path / "run"
    _, history = run(9, evaluate=exam, watch="score", stop_after=3, folder=folder)
    assert (len(history.rounds), history.best.round) == (5, 2)
    assert history.stopped == "no better score in 3 evaluations"
    outcome = json.loads((folder / "run.json").read_text())["outcome"]
    assert (outcome["state"], outcome["stopped"]) == ("done", history.stopped)
    assert run(9, stop_after=2, evaluate=Says(1.0, name="loss"))[1].best.metric == "loss"


class Interrupts:
    def __init__(self, round: int):
        self.at = round

    def begin(self, rounds, first): ...

    def round(self, record):
        if record.round == self.at:
            raise KeyboardInterrupt

    def end(self): ...


def test_a_run_that_goes_on_remembers_the_best_and_how_long_it_has_waited(tmp_path):
    def folder(name: str, resume: bool = False) -> RunFolder:
        return RunFolder(tmp_path / name, {"seed": 0}, {}, resume=resume)

    def score(model) -> dict[str, float]:
        return {"score": -abs(float(np.abs(model.vector).sum()) - turning)}

    lengths: list[float] = []
    run(4, evaluate=lambda model: lengths.append(float(np.abs(model.vector).sum())) or {})
    turning = lengths[1]  # the best is after the second round
    options = {"evaluate": score, "watch": "score", "stop_after": 2, "server_lr_schedule": "cosine"}
    with pytest.raises(KeyboardInterrupt):
        run(9, folder=folder("stopped"), trackers=[Interrupts(3)], **options)
    resumed, history = run(9, folder=folder("stopped", resume=True), **options)
    straight, whole = run(9, folder=folder("straight"), **options)
    assert (history.best, history.stopped, len(history.rounds)) == (whole.best, whole.stopped, len(whole.rounds))
    np.testing.assert_array_equal(resumed.model.vector, straight.model.vector)
    best = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("stopped", "straight")]
    assert best[0] == best[1]
    assert history.seconds > sum(sum(record.seconds.values()) for record in history.rounds[:3])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"watch": "f1", "evaluate": Says(1.0)}, "'f1', is not measured: choose score"),
        ({"watch": "f1"}, "'f1', is not measured: choose loss"),
        ({"watch": "score:up", "evaluate": Says(1.0)}, "watch is 'score:up'"),
        ({"watch": 3, "evaluate": Says(1.0)}, "watch is 3"),
        ({"stop_after": 0}, "stop_after is 0"),
        ({"evaluate_every": 0, "evaluate": Says(1.0)}, "evaluate_every is 0"),
        ({"evaluate_every": 2}, "nothing is evaluated"),
        ({"evaluate": 3}, "evaluate is 3"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(options, says, tmp_path):
    with pytest.raises(BadInput, match=says):
        run(folder=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
