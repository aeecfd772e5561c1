"""Copies of a model side by side, as pools train them: each with the bits that it has alone."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import nn
from fedlearn.datasets.examples import Arrays
from fedlearn.models.base import Model, mean_cross_entropy
from fedlearn.nn.stackable import unstackable
from fedlearn.training.flat import FlatModel
from fedlearn.training.stacks import stack


class Classifier(Model):
    stackable = True

    def __init__(self, act: nn.Module, *, rng: np.random.Generator):
        self.body = nn.Sequential(nn.Linear(12, 8, rng=rng), act, nn.Linear(8, 4, rng=rng))

    def forward(self, x):
        return self.body(x)

    def loss(self, batch):
        return mean_cross_entropy(self(*batch.inputs), batch.targets)


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.GELU, nn.Softplus])
def test_stacked_copies_have_the_bits_of_one_alone(act):
    rng = np.random.default_rng(0)
    model = Classifier(act(), rng=rng)
    clients = [Arrays(rng.standard_normal((9, 12), np.float32), rng.integers(0, 4, 9)) for _ in range(5)]
    many, one = FlatModel(model, 5), FlatModel(model)
    many.load(one.vector)
    start = one.vector.copy()
    examples, losses = stack(clients), []
    for _ in range(3):
        loss, gradient = many.gradient(examples)
        many.vector -= np.float32(0.1) * gradient
        losses.append(loss)
    for k, client in enumerate(clients):
        one.load(start)
        for step in range(3):
            loss, gradient = one.gradient(client)
            one.vector -= np.float32(0.1) * gradient
            assert loss == losses[step][k]
        np.testing.assert_array_equal(many.vector[k], one.vector)
    assert (many.vector[0] != many.vector[1]).any()


def test_what_does_not_work_on_trailing_axes_is_named():
    assert unstackable(nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())) == ["Conv2d"]
    assert unstackable(nn.Sequential(nn.Linear(1, 1), nn.ReLU())) == []
