"""Inputs and labels out of updates of models of classes: divided out, counted, searched for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn import nn
from fedlearn.attacks.labels import LabelCounts, label_counts
from fedlearn.attacks.linear import LinearInversion, invert_linear
from fedlearn.attacks.matching import GradientMatching
from fedlearn.autograd import Tensor, grad
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.bags import Arrays, Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.models.mlp import MLP
from fedlearn.nn import functional as F
from fedlearn.protocol import PartyView
from fedlearn.secure import Plain
from fedlearn.strategies import FedAvg

LR = 0.2


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


def recorded(folder: Path, model: Model, data: Arrays) -> PartyView:
    strategy = FedAvg(epochs=1, batch_size=len(data), lr=LR, max_weight=len(data))
    run = RunFolder(folder, {}, {}, record=True)
    protection = Plain(FixedPoint(bits=28, bound=4.0, addends=10))
    Aggregator(model, strategy, protection, folder=run).fit(InlinePool([Client("c", data)]), 1)
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


def test_inversion_is_exact_in_float64():
    rng = np.random.default_rng(3)
    x, errors = rng.random(50), rng.normal(size=30)
    inputs, alone = invert_linear(np.outer(errors, x), errors, 1e-9)
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
