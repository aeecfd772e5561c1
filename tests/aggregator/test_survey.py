"""Clients measure the model under a protection: the figures are those of all their examples in one place."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aggregator import Aggregator, Survey
from clients import Client, InlinePool
from fedlearn.errors import BadInput
from fedlearn.testing.toys import dense_examples, dense_model
from fedlearn.training.marks import marks
from tests.scenarios.command import fedlearn
from tests.toys import toy_paillier

PEOPLE = [Client(f"client-{i}", dense_examples(4 + i, seed=i)) for i in range(8)]
CLASSES = dense_model()(dense_examples(2, 0).features).numpy().shape[1]


@pytest.mark.parametrize("protection", ["masks", "none"])
def test_a_run_is_measured_by_its_clients_every_so_many_rounds_and_learns_the_same(protection):
    survey = Survey(lambda: InlinePool(PEOPLE), protection, CLASSES, lambda model: {"score": 1.0})
    measured = Aggregator(dense_model(), protection=protection, evaluate=survey, evaluate_every=2, seed=1)
    history = measured.fit(InlinePool(PEOPLE), 3, progress=False)
    assert [("client_accuracy" in record.metrics) for record in history.rounds] == [False, True, True]
    said = history.rounds[-1].metrics
    own = [marks(measured.model, client.data)["accuracy"] * len(client.data) for client in PEOPLE]
    assert said["client_accuracy"] == pytest.approx(sum(own) / sum(len(client.data) for client in PEOPLE))
    assert said["client_worst_tenth"] <= said["client_accuracy_p50"] <= said["client_accuracy_p90"]
    assert (said["score"], said["client_clients"]) == (1.0, 8)
    assert said["client_bytes_up"] > 0
    alone = Aggregator(dense_model(), protection=protection, seed=1)
    alone.fit(InlinePool(PEOPLE), 3, progress=False)
    assert np.array_equal(alone.model.vector, measured.model.vector)


def test_nobody_is_asked_in_a_group_that_is_too_small():
    survey = Survey(PEOPLE, "masks", CLASSES, cohort=2)
    with pytest.raises(BadInput, match="a cohort of 2 clients is under the minimum of 3"):
        survey(dense_model())
    with pytest.raises(BadInput, match="classes is 1"):
        Survey(PEOPLE, "masks", 1)


def test_the_command_asks_under_any_protection(tmp_path, capsys):
    run = ["run", "digits", "--clients", "12", "--cohort", "6", "--rounds", "2", "--quiet", "--out"]
    assert fedlearn(*run, str(tmp_path / "a"), "--evaluate-clients", "--protection", "masks") == 0
    assert fedlearn(*run, str(tmp_path / "b"), "--protection", "masks") == 0
    assert "client_worst_tenth" in capsys.readouterr().out
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert models[0] == models[1]
    rows = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= row["client_accuracy_p10"] <= row["client_accuracy_p90"] <= 1 for row in rows)
    assert not any("by_client" in row for row in rows)
    options = ["--evaluate-clients", "--protection", "masks", "--dp", "noise=1,clip=1"]
    assert fedlearn(*run, str(tmp_path / "c"), *options) == 2
    assert "exact sums would spend privacy that nobody counts" in capsys.readouterr().err


def test_a_key_holder_opens_the_survey_too():
    found = Survey(PEOPLE, toy_paillier(), CLASSES)(dense_model())
    assert found == {**Survey(PEOPLE, "none", CLASSES)(dense_model()), "client_bytes_up": found["client_bytes_up"]}
