"""Clients measure the model in a sum: the figures are those of all their examples in one place, however protected."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder, Survey
from clients import Client, InlinePool
from fedlearn.attacks.observed import Observed
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput, PrivacyError
from fedlearn.metrics import class_metrics, confusion
from fedlearn.models.chars import CharLSTM
from fedlearn.privacy.ledger import Ledger
from fedlearn.protocol import Opened, RunPlan
from fedlearn.protocol.transcript import PartyView
from fedlearn.secure import Threshold
from fedlearn.strategies import FedAvg
from fedlearn.testing.toys import dense_examples, dense_model
from fedlearn.training.marks import marks
from tests.scenarios.command import fedlearn
from tests.toys import TOY_BITS, toy_codec, toy_paillier

PEOPLE = [Client(f"client-{i}", dense_examples(4 + i, seed=i)) for i in range(8)]
CLASSES = dense_model()(dense_examples(2, 0).features).numpy().shape[1]
PROTECTIONS = {
    "none": lambda: "none",
    "masks": lambda: "masks",
    "paillier": toy_paillier,
    "threshold": lambda: Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True),
}


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_run_is_measured_by_its_clients_every_so_many_rounds_and_learns_the_same(protection):
    measured = Aggregator(
        dense_model(), protection=PROTECTIONS[protection](), evaluate=lambda model: {"score": 1.0}, evaluate_every=2,
        evaluate_clients=Survey(PEOPLE, CLASSES), seed=1,
    )  # fmt: skip
    history = measured.fit(InlinePool(PEOPLE), 3, progress=False)
    assert [("client_accuracy" in record.metrics) for record in history.rounds] == [False, True, True]
    last = history.rounds[-1]
    labels = np.concatenate([client.data.targets for client in PEOPLE])
    outputs = measured.model(np.concatenate([client.data.features for client in PEOPLE])).numpy()
    central = class_metrics(outputs, labels)
    assert last.confusion == confusion(outputs.argmax(axis=1), labels, CLASSES).tolist()
    assert last.metrics["client_accuracy"] == pytest.approx(central["accuracy"])
    assert last.metrics["client_worst_tenth"] <= last.metrics["client_accuracy_p50"]
    losses = [marks(measured.model, client.data)["loss"] for client in PEOPLE]
    assert last.metrics["client_loss"] == pytest.approx(np.mean(losses), abs=0.05)
    assert (last.metrics["score"], last.metrics["client_clients"]) == (1.0, 8)
    assert last.bytes_up > history.rounds[0].bytes_up
    alone = Aggregator(dense_model(), protection="none", seed=1)
    alone.fit(InlinePool(PEOPLE), 3, progress=False)
    assert np.array_equal(alone.model.vector, measured.model.vector)


def test_its_messages_stand_in_the_runs_transcript_and_the_attacks_read_those_of_training(tmp_path):
    folder = RunFolder(tmp_path, {"seed": 1}, {"name": "toy"}, record=True)
    aggregator = Aggregator(
        dense_model(), protection=toy_paillier(), evaluate_clients=Survey(PEOPLE, CLASSES), folder=folder
    )
    aggregator.fit(InlinePool(PEOPLE), 2, progress=False)
    view = PartyView.load(tmp_path)
    trains = {message.session: bool(plan.model) for message, plan in view.bodies(RunPlan)}
    assert sorted(trains.values()) == [False, True]
    opened = Counter(trains[message.session] for message, _ in view.bodies(Opened))
    assert opened == {True: 2, False: 2}
    seen = Observed(view)
    assert seen.plan.model
    assert [(v.round, v.addends) for v in seen.readable()] == [(1, 8), (2, 8)]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert np.sum(rows[-1]["confusion"]) == sum(len(client.data) for client in PEOPLE)


def test_clients_remember_whose_masks_came_off_in_a_survey_too(tmp_path):
    folder = RunFolder(tmp_path / "run", {}, {})
    survey = Survey(PEOPLE, CLASSES)
    Aggregator(dense_model(), protection="masks", evaluate_clients=survey, folder=folder).fit(InlinePool(PEOPLE), 1)
    kept = {path.parent.parent.name for path in (tmp_path / "run").rglob("revealed*") if path.stat().st_size}
    assert kept == {"checkpoint", "survey"}


@pytest.mark.parametrize("protection", ["masks", "paillier"])
def test_a_sum_that_was_opened_is_not_asked_for_again_when_the_run_goes_on(protection, tmp_path, monkeypatch):
    """The first session ends after the survey of round 2 and before that round is kept."""

    def run(resume: bool):
        folder = RunFolder(tmp_path, {"seed": 1}, {"name": "toy"}, record=True, resume=resume)
        survey = Survey(PEOPLE, CLASSES)
        aggregator = Aggregator(
            dense_model(), FedAvg(lr=0.1), PROTECTIONS[protection](), evaluate_clients=survey, folder=folder
        )
        return aggregator.fit(InlinePool(PEOPLE), 3, progress=False)

    keep = RunFolder.keep

    def interrupted(self, record, *rest):
        if record.round == 2:
            seen.append(record.metrics)
            raise KeyboardInterrupt
        keep(self, record, *rest)

    seen: list = []
    monkeypatch.setattr(RunFolder, "keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(resume=False)
    monkeypatch.undo()
    history = run(resume=True)
    assert history.rounds[1].metrics == seen[0]
    view = PartyView.load(tmp_path)
    surveys = {message.session for message, plan in view.bodies(RunPlan) if not plan.model}
    rounds = [m.step.round for m in view.messages if m.session in surveys and m.step.phase in ("update", "open")]
    assert len(surveys) == 2
    assert set(rounds) == {1, 2, 3}
    second = view.messages[-1].session
    assert 2 not in {m.step.round for m in view.messages if m.session == second}


def test_noise_stands_in_the_survey_too_and_one_ledger_has_both(tmp_path):
    survey = Survey(PEOPLE * 3, CLASSES, clip=6.0, bins=4)
    folder = RunFolder(tmp_path / "run", {"seed": 1}, {"name": "toy"})
    private = {"protection": "masks", "privacy": "epsilon=4,clip=0.5", "sampler": "poisson", "cohort": 12}
    measured = Aggregator(dense_model(), evaluate_clients=survey, evaluate_every=2, folder=folder, **private)
    history = measured.fit(InlinePool(PEOPLE * 3), 4, progress=False)
    rows = Ledger.load(tmp_path / "run" / "privacy.ledger").rows
    assert Counter(row.round for row in rows) == {1: 1, 2: 2, 3: 1, 4: 2}
    assert len({row.session for row in rows}) == 2
    last, noise = history.rounds[-1], history.privacy["noise"]
    assert 3.99 < last.epsilon <= 4
    exact = sum(len(client.data) for client in PEOPLE) * 3 / 2  # of the clients that are expected
    assert np.sum(last.confusion) != round(np.sum(last.confusion))
    assert abs(np.sum(last.confusion) - exact) < 12 * 6 * CLASSES * noise
    bare = Aggregator(dense_model(), **private).fit(InlinePool(PEOPLE * 3), 4, progress=False)
    assert 1.1 < noise / bare.privacy["noise"] < math.sqrt(2)  # two sums for one epsilon take more of it


@pytest.mark.parametrize(
    ("clip", "options", "says"),
    [
        (None, {}, "needs a bound on what one client can add: give clip=C"),
        (6.0, {"privacy": "noise=1,clip=1,unit=example,examples=500"}, "protects single examples: leave one out"),
        (
            6.0, {"sampler": "rotation", "privacy": "noise=1,clip=1,where=aggregator", "protection": "none"},
            "take another sampler than rotation",
        ),
    ],
)  # fmt: skip
def test_a_survey_that_noise_cannot_cover_is_refused_in_one_line(clip, options, says, tmp_path):
    survey = Survey(PEOPLE * 3, CLASSES, clip=clip)
    usual = {"privacy": "noise=1,clip=1", "protection": "masks", "cohort": 12}
    aggregator = Aggregator(
        dense_model(), FedAvg(epochs=1), evaluate_clients=survey, folder=tmp_path / "run",
        **(usual | options),
    )  # fmt: skip
    with pytest.raises(PrivacyError, match=says):
        aggregator.fit(InlinePool(PEOPLE * 3), 2, progress=False)
    assert not (tmp_path / "run").exists()


def test_speakers_measure_a_model_of_characters_and_each_character_counts():
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 5, (6, 8)) for _ in range(4)]
    speakers = [Client(str(i), Arrays(text, np.roll(text, -1, axis=1))) for i, text in enumerate(texts)]
    model = CharLSTM(5, 8, rng=rng)
    survey = Survey(speakers, 5, bins=400, loss_step=0.01)
    aggregator = Aggregator(model, FedAvg(lr=0.1, batch_size=3), "masks", evaluate_clients=survey)
    last = aggregator.fit(InlinePool(speakers), 1, progress=False).rounds[-1]
    wanted = np.zeros((5, 5), int)
    for speaker in speakers:
        taken = model(speaker.data.inputs[0])[0].numpy().argmax(axis=-1).T
        np.add.at(wanted, (speaker.data.targets.ravel(), taken.ravel()), 1)
    assert last.confusion == wanted.tolist()
    assert last.metrics["client_accuracy"] == pytest.approx(np.trace(wanted) / wanted.sum())
    assert last.metrics["client_loss"] == pytest.approx(
        np.mean([marks(model, speaker.data)["loss"] for speaker in speakers]), abs=0.005
    )


def test_what_is_no_survey_or_asks_too_much_is_refused(tmp_path):
    with pytest.raises(BadInput, match="classes is 1"):
        Survey(PEOPLE, 1)
    with pytest.raises(BadInput, match=r"evaluate_clients is 'clients'; give Survey\(clients, classes=2\), or True"):
        Aggregator(dense_model(), evaluate_clients="clients")
    for clip, says in {
        3.0: "clip=3, which has no effect without noise",
        -1: "20 suits clients with 20 examples",
    }.items():
        with pytest.raises(BadInput, match=says):
            Aggregator(dense_model(), protection="masks", evaluate_clients=Survey(PEOPLE, CLASSES, clip=clip)).fit(
                InlinePool(PEOPLE), 1, progress=False
            )
    few = Aggregator(dense_model(), protection="masks", evaluate_clients=Survey(PEOPLE, CLASSES, most=3))
    with pytest.raises(BadInput, match="refused its task"):
        few.fit(InlinePool(PEOPLE), 1, progress=False)
    with pytest.raises(BadInput, match="8 clients are to be asked beside 7 that train: give the same"):
        few.fit(InlinePool(PEOPLE[1:]), 1, progress=False)


def test_the_worst_served_tenth_can_be_watched_and_losses_are_better_when_lower():
    aggregator = Aggregator(
        dense_model(), protection="masks", evaluate_clients=Survey(PEOPLE, CLASSES), watch="client_loss_p90",
        strategy=FedAvg(lr=0.1),
    )  # fmt: skip
    best = aggregator.fit(InlinePool(PEOPLE), 4, progress=False).best
    assert best.value == min(record.metrics["client_loss_p90"] for record in aggregator.history.rounds)


def test_the_command_asks_under_any_protection(tmp_path, capsys):
    run = ["run", "digits", "--clients", "12", "--cohort", "6", "--rounds", "2", "--quiet", "--out"]
    assert fedlearn(*run, str(tmp_path / "a"), "--evaluate", "clients", "--protection", "masks") == 0
    assert fedlearn(*run, str(tmp_path / "b"), "--protection", "masks") == 0
    assert "client_worst_tenth" in capsys.readouterr().out
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert models[0] == models[1]
    rows = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= row["client_accuracy_p10"] <= row["client_accuracy_p90"] <= 1 for row in rows)
    assert all(np.sum(row["confusion"]) == 6 * 20 for row in rows)
    assert not any("by_client" in row for row in rows)
    for odd in ("nobody", "test:clip=3", "clients:clop=3"):
        assert fedlearn(*run, str(tmp_path / "c"), "--evaluate", odd) == 2
        assert odd.split(":")[0] in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
