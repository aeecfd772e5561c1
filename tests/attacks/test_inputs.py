"""Inputs and labels out of updates of models of classes: divided out, counted, searched for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn import nn
from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.labels import LabelCounts, label_counts
from fedlearn.attacks.linear import LinearInversion, invert_linear
from fedlearn.attacks.matching import GradientMatching
from fedlearn.autograd import Tensor, grad
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.examples import Arrays, Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.models.mlp import MLP
from fedlearn.nn import functional as F
from fedlearn.protocol import PartyView
from fedlearn.secure import Plain
from fedlearn.strategies import FedAvg
from fedlearn.strategies.scaffold import Scaffold

LR = 0.2
CODEC = FixedPoint(bits=28, bound=4.0, addends=10)


class Smooth(Model):
    """Two layers with a sigmoid: small enough to search for its inputs in a moment."""

    features = 6

    def __init__(self, classes: int = 3, *, rng: np.random.Generator | None = None):
        self.first = nn.Linear(self.features, 20, rng=rng)
        self.last = nn.Linear(20, classes, rng=rng)

    def forward(self, x: Any) -> Tensor:
        return self.last(F.sigmoid(self.first(x)))

    def loss(self, batch: Examples) -> Tensor:
        return F.cross_entropy(self(*batch.inputs), batch.targets)


def recorded(folder: Path, model: Model, data: Arrays, **training: Any) -> PartyView:
    strategy = FedAvg(batch_size=len(data), lr=LR, max_weight=len(data), **training)
    run = RunFolder(folder, {}, {}, record=True)
    Aggregator(model, strategy, Plain(CODEC), folder=run).fit(InlinePool([Client("c", data)]), 1)
    return PartyView.load(folder)


def examples(count: int, features: int, classes: int, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return Arrays(rng.random((count, features), np.float32), rng.integers(classes, size=count))


def test_one_input_is_divided_out_of_a_transcript(tmp_path):
    data = examples(1, 64, 10)
    (found,) = LinearInversion().run(recorded(tmp_path, MLP((64, 32, 10), rng=np.random.default_rng(1)), data))
    assert np.abs(found.inputs - data.features).max() < 1e-5


def test_several_inputs_are_divided_out_and_mixtures_are_told_apart(tmp_path):
    rng = np.random.default_rng(2)
    data = examples(6, 40, 10)
    data.features[:] = rng.random((6, 40)) * (rng.random((6, 40)) < 0.3)
    (found,) = LinearInversion().run(recorded(tmp_path, MLP((40, 1024, 10), rng=rng), data))
    apart = np.abs(found.inputs[:, None] - data.features[None]).max(axis=2)
    assert len(found.inputs) >= 4
    assert apart.min(axis=1).max() < 1e-3  # no mixture among them
    assert len(found.unconfirmed) > 0


def test_mixtures_of_one_class_on_which_neurons_agree_are_told_from_inputs():
    """Errors of one class are nearly parallel: neurons that two of its examples drive have one quotient."""
    rng = np.random.default_rng(8)
    inputs = rng.random((3, 20))
    errors = np.zeros((12, 3))
    errors[np.arange(6), np.arange(6) % 3] = rng.normal(size=6)  # two neurons for each input alone
    errors[6:8, :2] = [[0.3, 0.3], [0.5, 0.5]]
    errors[8:12] = rng.normal(size=(4, 3))
    found, others = invert_linear(errors @ inputs, errors.sum(axis=1), 1e-9)
    assert sorted(map(tuple, found.round(6))) == sorted(map(tuple, inputs.round(6)))
    assert np.abs(others - inputs[:2].mean(axis=0)).max(axis=1).min() < 1e-6


def test_weight_decay_does_not_hide_an_input(tmp_path):
    data = examples(1, 64, 10)
    model = MLP((64, 32, 10), rng=np.random.default_rng(1))
    view = recorded(tmp_path, model, data, weight_decay=0.1, momentum=0.9)
    assert np.abs(LinearInversion().run(view)[0].inputs - data.features).max() < 1e-5
    assert LabelCounts().run(view)[0].counts == tuple(np.bincount(data.targets, minlength=10))


@pytest.mark.parametrize("attack", [LinearInversion(), LabelCounts(), GradientMatching()])
def test_steps_that_are_no_gradients_are_refused(tmp_path, attack):
    view = recorded(tmp_path, MLP((6, 8, 3)), examples(1, 6, 3), optimizer="adam")
    with pytest.raises(NotReadable, match="adam"):
        attack.run(view)


def test_clients_that_keep_state_cannot_be_replayed_and_are_refused(tmp_path):
    run = RunFolder(tmp_path, {}, {}, record=True)
    strategy = Scaffold(batch_size=1, lr=LR)
    Aggregator(MLP((6, 8, 3)), strategy, Plain(CODEC), folder=run).fit(InlinePool([Client("c", examples(1, 6, 3))]), 1)
    with pytest.raises(NotReadable, match="scaffold keep state"):
        LinearInversion().run(PartyView.load(tmp_path))


def test_labels_are_counted_over_several_steps(tmp_path):
    data = examples(16, 64, 10, seed=5)
    run = RunFolder(tmp_path, {}, {}, record=True)
    strategy = FedAvg(epochs=2, batch_size=4, lr=0.05, momentum=0.5, max_weight=16)
    Aggregator(MLP((64, 32, 10), rng=np.random.default_rng(4)), strategy, Plain(CODEC), folder=run).fit(
        InlinePool([Client("c", data)]), 1
    )
    (found,) = LabelCounts().run(PartyView.load(tmp_path))
    assert np.minimum(found.counts, np.bincount(data.targets, minlength=10)).sum() >= 14


def test_inversion_is_exact_in_float64():
    rng = np.random.default_rng(3)
    x, errors = rng.random(50), rng.normal(size=30)
    inputs, alone = invert_linear(np.outer(errors, x), errors, 1e-14)
    assert np.abs(inputs - x).max() < 1e-12
    assert len(alone) == 0


@pytest.mark.parametrize("count", [1, 8])
def test_labels_are_counted(tmp_path, count):
    data = examples(count, 64, 10, seed=count)
    (found,) = LabelCounts().run(recorded(tmp_path, MLP((64, 32, 10), rng=np.random.default_rng(4)), data))
    truth = np.bincount(data.targets, minlength=10)
    assert sum(found.counts) == count
    assert np.minimum(found.counts, truth).sum() >= count - 1
    if count == 1:
        assert found.counts == tuple(truth)


def test_label_counts_by_hand():
    usual = np.full(4, 0.25)
    truth = np.array([3, 0, 1, 0])
    assert label_counts(usual - truth / 4, usual, 4).tolist() == truth.tolist()
    assert label_counts(np.array([0.1, -0.9, 0.8]), np.zeros(3), 1).tolist() == [0, 1, 0]


@pytest.mark.parametrize("method", ["dlg", "idlg"])
def test_searching_ends_at_the_input(tmp_path, method):
    data = examples(1, 6, 3)
    (found,) = GradientMatching(method).run(recorded(tmp_path, Smooth(rng=np.random.default_rng(5)), data))
    assert found.distance < 1e-4
    assert np.abs(found.inputs - data.features).max() < 1e-3


def test_the_search_is_the_same_every_time_and_names_its_methods(tmp_path):
    view = recorded(tmp_path, Smooth(rng=np.random.default_rng(6)), examples(2, 6, 3))
    one, two = (GradientMatching("idlg", iterations=20).run(view)[0] for _ in range(2))
    assert one.inputs.tolist() == two.inputs.tolist()
    with pytest.raises(BadInput, match="cosine"):
        GradientMatching("guess")


def test_second_derivatives_agree_with_finite_differences():
    """Of the distance that the search descends on: to 1e-6 in float64."""
    rng = np.random.default_rng(7)
    model = Smooth(rng=rng).double()
    parameters = list(model.parameters())
    seen = [rng.normal(size=p.shape) for p in parameters]

    def distance(point: Tensor) -> Tensor:
        loss = -(F.log_softmax(model(point), dim=-1) * np.eye(3)[[0, 2]]).sum()
        parts = [((g - s) ** 2).sum() for g, s in zip(grad(loss, parameters, create_graph=True), seen, strict=True)]
        return parts[0] + parts[1] + parts[2] + parts[3]

    x, direction = rng.normal(size=(2, 6)), rng.normal(size=(2, 6))
    point = Tensor(x, requires_grad=True)
    (slope,) = grad(distance(point), [point])
    ahead, behind = (distance(Tensor(x + s * 1e-5 * direction)).item() for s in (1, -1))
    assert (slope.numpy() * direction).sum() == pytest.approx((ahead - behind) / 2e-5, rel=1e-6)
