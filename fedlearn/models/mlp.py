"""The plain network: layers of sums, each but the last followed by ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np

from fedlearn import nn
from fedlearn.autograd import Tensor
from fedlearn.checked import in_order
from fedlearn.configured import whole_number
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Model, mean_cross_entropy
from fedlearn.models.kinds import Features


class MLP(Model):
    """Linear layers with ReLU between them; `widths` from inputs to classes, 64-32-10 for the digits."""

    stackable = True
    replayable = True
    reads = Features
    width = 32

    def __init__(self, widths: Sequence[int] = (64, 32, 10), *, rng: np.random.Generator | None = None):
        widths = [whole_number("a width", width, least=1) for width in in_order(widths, "widths")]
        if len(widths) < 2:
            raise BadInput(f"widths are {widths!r:.80}: a list of at least inputs and classes is needed")
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.ReLU(), nn.Linear(inputs, outputs, rng=rng)]
        self.body = nn.Sequential(*layers[1:])

    @classmethod
    def for_samples(cls, samples: Features, width: int = width, *, rng: np.random.Generator | None = None) -> Self:
        """One hidden layer of `width` units."""
        return cls((samples.inputs, width, samples.classes), rng=rng)

    def forward(self, features: np.ndarray) -> Tensor:
        """features (..., B, inputs) -> logits (..., B, classes)."""
        logits: Tensor = self.body(features)
        return logits

    def loss(self, batch: Examples) -> Tensor:
        return mean_cross_entropy(self(*batch.inputs), batch.targets)
