"""How good a model is on one client's own examples."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn.autograd import Tensor
from fedlearn.datasets.examples import Arrays
from fedlearn.models.base import Model
from fedlearn.models.kinds import Features
from fedlearn.nn import functional as F
from fedlearn.training.marks import marks


class AsGiven(Model):
    """Its input is its answer."""

    reads = Features

    def forward(self, x):
        return Tensor(x)

    def loss(self, batch):
        return F.cross_entropy(self(*batch.inputs), batch.targets)


def test_ignored_targets_are_not_judged():
    scores = np.array([[2, 1], [2, 1], [2, 1], [2, 1]], np.float32)
    assert marks(AsGiven(), Arrays(scores, np.array([0, 1, -100, -100])))["accuracy"] == 0.5
    nobody = marks(AsGiven(), Arrays(scores, np.full(4, -100)))
    assert list(nobody) == ["loss"]


@pytest.mark.parametrize("targets", [[0, 0], [1, 0]])
def test_an_output_of_nan_is_judged_wrong(targets):
    scores = np.array([[np.nan, 0], [2, 1]], np.float32)
    assert marks(AsGiven(), Arrays(scores, np.array(targets)))["accuracy"] == 0.5
