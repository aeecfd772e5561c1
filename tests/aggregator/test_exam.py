"""Schedules of the server's learning rate, evaluation every few rounds, the best model, and when to stop."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from aggregator import Aggregator, CsvTracker, History, RoundRecord, RunFolder
from aggregator.schedules import applied, factor_of
from clients import Client, InlinePool, ProcessPool
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput
from fedlearn.optim.lr_scheduler import LRScheduler
from fedlearn.protocol import Loss, Marks, Message, Partial
from fedlearn.secure import Paillier
from fedlearn.strategies import FedAvg
from fedlearn.testing.toys import dense_examples, dense_model
from fedlearn.training.marks import marks

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


def test_an_evaluation_that_changes_the_model_is_refused_and_undone():
    def train_on(model):
        before.append(model.vector.copy())
        model.vector[0] += 1
        return {"score": 1.0}

    before: list[np.ndarray] = []
    aggregator = Aggregator(dense_model(), protection="none", evaluate=train_on)
    with pytest.raises(BadInput, match="evaluate changed the model's weights"):
        aggregator.fit(InlinePool(PEOPLE), 2)
    np.testing.assert_array_equal(aggregator.model.vector, before[0])


# Evaluation by clients


@pytest.mark.parametrize("make", [InlinePool, lambda people: ProcessPool(people, 2)])
def test_clients_measure_the_new_model_on_their_own_examples(make, tmp_path):
    seen: list[np.ndarray] = []
    aggregator = Aggregator(
        dense_model(), protection="none", cohort=3, evaluate_clients=True, evaluate_every=2, folder=tmp_path / "run",
        evaluate=lambda model: seen.append(model.vector.copy()) or {"score": 1.0},
    )  # fmt: skip
    history = aggregator.fit(make(PEOPLE), 3)
    assert [len(record.by_client) for record in history.rounds] == [0, 3, 3]
    last = history.rounds[-1]
    model = dense_model()
    model.vector[:] = seen[-1]
    for client, found in last.by_client.items():
        assert found == pytest.approx(marks(model, PEOPLE[client].data))
    losses = [found["loss"] for found in last.by_client.values()]
    assert last.metrics["client_loss_p50"] == pytest.approx(np.median(losses))
    assert last.metrics["client_accuracy_p10"] <= last.metrics["client_accuracy_p90"]
    assert last.bytes_down > history.rounds[0].bytes_down  # the model went out once more
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert "by_client" not in rows[0]
    assert RoundRecord.from_dict(rows[-1]).by_client == last.by_client
    plain = Aggregator(dense_model(), protection="none", cohort=3)
    plain.fit(InlinePool(PEOPLE), 3)
    np.testing.assert_array_equal(plain.model.vector, aggregator.model.vector)


class Talkative(InlinePool):
    """Asked how the model does, one says it twice, all say it in a sum too, and others say it unasked."""

    def exchange(self, step, broadcast, inboxes):
        asked = list(inboxes)
        inboxes = dict.fromkeys(range(len(self)), b"") if step.phase == Marks.PHASE else inboxes
        answers = list(super().exchange(step, broadcast, inboxes))
        yield from answers
        if step.phase == Marks.PHASE:
            yield from (answers[asked[0]], Partial(tuple(asked), b"a sum"))


def test_who_was_not_asked_how_the_model_does_does_not_count():
    aggregator = Aggregator(dense_model(), protection="none", cohort=2, evaluate_clients=True)
    record = aggregator.fit(Talkative(PEOPLE), 1).rounds[0]
    assert len(PEOPLE) > len(record.by_client) == record.clients_ok == 2


def test_the_worst_served_tenth_can_be_watched():
    _, history = run(4, evaluate_clients=True, watch="client_accuracy_p10", stop_after=3)
    assert history.best.metric == "client_accuracy_p10"
    assert history.best.value == history.rounds[history.best.round - 1].metrics["client_accuracy_p10"]


@pytest.mark.parametrize("protection", ["masks", Paillier(512, insecure_test_key=True)])
def test_under_a_protection_no_client_is_asked(protection, tmp_path):
    aggregator = Aggregator(dense_model(), protection=protection, evaluate_clients=True, folder=tmp_path / "run")
    with pytest.raises(BadInput, match="evaluate_clients=True with protection"):
        aggregator.fit(InlinePool(PEOPLE), 1)
    assert not (tmp_path / "run").exists()


def test_clients_under_a_protection_refuse_by_themselves():
    """An aggregator that leaves its own check out learns a code, and nothing of the examples."""
    asked: list = []

    class Curious(InlinePool):
        def exchange(self, step, broadcast, inboxes):
            yield from super().exchange(step, broadcast, inboxes)
            if step.phase == "update":
                again = replace(step, phase=Marks.PHASE)
                first = Message.from_bytes(broadcast)
                request = Message(first.session, again, first.sender, first.recipient, first.body).to_bytes()
                asked.extend(super().exchange(again, request, inboxes))

    Aggregator(dense_model(), protection="masks").fit(Curious(PEOPLE), 1)
    assert len(asked) == 4
    assert {Message.from_bytes(answer.data).body for answer in asked} == {Loss(Loss.REFUSED)}


class Sometimes(Arrays):
    @property
    def inputs(self):
        if len(self) == 4:  # all of them at once: a batch of training has fewer
            raise OSError("disk on fire")
        return super().inputs

    def take(self, order):
        return Arrays(self.features[order], self.targets[order])


def test_a_client_that_fails_to_measure_costs_its_own_figures_only():
    data = PEOPLE[1].data
    people = [PEOPLE[0], Client("bob", Sometimes(data.features, data.targets)), *PEOPLE[2:]]
    aggregator = Aggregator(dense_model(), FedAvg(batch_size=2), "none", evaluate_clients=True)
    history = aggregator.fit(InlinePool(people), 1)
    assert history.rounds[0].clients_ok == 4
    assert sorted(history.rounds[0].by_client) == [0, 2, 3]
