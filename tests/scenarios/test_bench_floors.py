"""The floors of benchmarks do the same training as what stands beside them, and runs are compared by their figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from aggregator import Aggregator
from clients import InlinePool
from fedlearn.models.mlp import MLP
from fedlearn.models.spam import SpamClassifier
from fedlearn.secure import Plain
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from scenarios import BENCHMARKS
from scenarios.bench import floors, simulation
from scenarios.bench.workload import BATCH, COHORT, EXAMPLES, LR, workload
from scenarios.command.main import app


@pytest.fixture
def few_rounds(monkeypatch):
    monkeypatch.setattr(floors, "ROUNDS", 2)


def test_both_floors_of_digits_train_the_same_model(few_rounds):
    data = workload(200)
    model = MLP((64, 32, 10), rng=stream(0, "model"))
    strategy = FedAvg(1, BATCH, LR, max_weight=EXAMPLES)
    Aggregator(model, strategy, Plain(simulation.CODEC), cohort=COHORT).fit(InlinePool(data), 2)
    for weights in (floors.loop(data), floors.batched(data)):
        found = np.concatenate([weight.ravel() for weight in weights])
        np.testing.assert_allclose(found, model.vector, atol=1e-6)
    assert np.abs(found - MLP((64, 32, 10), rng=stream(0, "model")).vector).max() > 0.01


def test_the_floor_of_spam_trains_the_same_model():
    clients = simulation.mailboxes(3)
    model = SpamClassifier(simulation.VOCABULARY, 4, rng=stream(0, "model"))
    weights = [parameter.numpy().copy() for parameter in model.parameters()]
    before = weights[0].copy()
    floors.mailboxes(clients, weights, 2, 32)
    Aggregator(model, FedAvg(1, 32, LR, max_weight=simulation.MAILS), Plain(simulation.CODEC)).fit(
        InlinePool(clients), 2
    )
    np.testing.assert_allclose(np.concatenate([weight.ravel() for weight in weights]), model.vector, atol=1e-6)
    assert np.abs(weights[0] - before).max() > 1e-4


def test_work_is_measured_in_turns_and_a_row_says_its_share_of_its_floor(monkeypatch):
    monkeypatch.setattr(simulation, "BUDGET", 1e-6)
    turns: list[str] = []
    rows = simulation.in_turns({name: (lambda name=name: turns.append(name), None) for name in "ab"}, 1)
    assert turns[:2] == ["a", "b"]
    assert [row.name for row in rows] == ["a", "b"]
    rows = [simulation.Row("floor", 200.0, 1.0), simulation.Row("ours", 50.0, 4.0, floor="floor")]
    assert "0.25" in simulation.table(rows)


@pytest.fixture
def a_benchmark(monkeypatch, tmp_path):
    def run(as_json: bool) -> dict[str, object]:
        result = {
            "benchmark": "engine",
            "claims": [{"name": "a", "value": 3.0, "unit": ""}, {"name": "new", "value": 1}],
        }
        print(json.dumps(result) if as_json else "a table")
        return result

    monkeypatch.setattr(type(BENCHMARKS), "load", lambda self, name: run)
    return tmp_path / "before.json"


def test_two_runs_are_compared_by_the_figures_that_both_have(a_benchmark):
    before = {"benchmark": "engine", "claims": [{"name": "a", "value": 2.0}, {"name": "gone", "value": 9.0}]}
    a_benchmark.write_text("progress\n" + json.dumps(before))
    done = CliRunner().invoke(app, ["bench", "engine", "--against", str(a_benchmark)])
    lines = done.stdout.splitlines()
    assert lines[0] == "a table"
    assert lines[-1].split() == ["a", "3.00", "2.00", "1.50"]
    done = CliRunner().invoke(app, ["bench", "engine", "--json", "--against", str(a_benchmark)])
    assert json.loads(done.stdout.splitlines()[-1])["claims"][0]["value"] == 3.0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no result of a benchmark"),
        ("[1]", "no result of a benchmark"),
        ('{"benchmark": "engine", "claims": [{"name": "a"}]}', "no result of a benchmark"),
        ('{"benchmark": "crypto", "claims": []}', "is of the benchmark crypto"),
    ],
)
def test_what_is_no_result_is_refused_before_anything_is_measured(a_benchmark, content, says):
    a_benchmark.write_text(content)
    done = CliRunner().invoke(app, ["bench", "engine", "--against", str(a_benchmark)])
    assert "a table" not in done.stdout
    assert says in str(done.exception)
