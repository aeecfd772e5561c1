"""A small convolutional network for square grey images."""

from __future__ import annotations

import math
from typing import Self

import numpy as np

from fedlearn import nn
from fedlearn.autograd import Tensor
from fedlearn.configured import whole_number
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models.base import Model
from fedlearn.models.kinds import Features
from fedlearn.nn import functional as F
from fedlearn.nn.functional.arguments import numbers
from fedlearn.wording import many


class ConvNet(Model):
    """Two convolutions of 3 x 3, each followed by ReLU and halving, and a linear head, for images side x side."""

    replayable = True
    reads = Features
    width = 8

    def __init__(self, side: int = 8, classes: int = 10, channels: int = 8, *, rng: np.random.Generator | None = None):
        side = whole_number("the side of the images, which are halved twice,", side, least=4)
        self.side = side
        self.body = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1, rng=rng),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1, rng=rng),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Linear(2 * channels * (side // 4) ** 2, classes, rng=rng)

    @classmethod
    def for_samples(cls, samples: Features, width: int = width, *, rng: np.random.Generator | None = None) -> Self:
        """For square images; `width` is the number of channels of the first convolution."""
        side = math.isqrt(samples.inputs)
        if side * side != samples.inputs:
            raise BadInput(
                f"model conv reads square images, and {many(samples.inputs, 'number is', 'numbers are')} none: choose "
                "mlp"
            )
        return cls(side, samples.classes, width, rng=rng)

    def forward(self, images: np.ndarray) -> Tensor:
        """images (N, side * side) or (N, side, side) -> logits (N, classes)."""
        pixels = numbers(images, "the images")
        if pixels.shape[1:] not in ((self.side**2,), (self.side, self.side)):
            raise ShapeError(f"images are (N, {self.side**2}) or (N, {self.side}, {self.side}), not {pixels.shape}")
        logits: Tensor = self.head(self.body(pixels.reshape(len(pixels), 1, self.side, self.side)))
        return logits

    def loss(self, batch: Examples) -> Tensor:
        loss: Tensor = F.cross_entropy(self(*batch.inputs), batch.targets)
        return loss
