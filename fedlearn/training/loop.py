"""The loop that every strategy's local half shares: epochs of mini-batches over one client's examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Trainable
from fedlearn.training.flat import FlatModel


class Shuffles(Protocol):
    """The source of local training's shuffles: `fedlearn.seeding.LocalRandom`, `ClientRandom`, or a numpy Generator."""

    def permutation(self, n: int, /) -> np.ndarray: ...


def train_epochs(
    model: Trainable,
    data: Examples,
    epochs: int,
    batch_size: int,
    rng: Shuffles,
    step: Callable[[np.ndarray], None],
) -> float | np.ndarray:
    """Train in place, each epoch in a fresh order drawn from `rng`; returns the mean loss per example.

    `step` is called with the gradient of each batch's mean loss, and changes `model.vector`. Frozen weights end as
    they began. Raises `BadInput` where there are no examples.
    """
    examples = len(data)
    if not examples:
        raise BadInput("the client has no examples: at least 1 is needed, so leave it out or give it some")
    total: Any = 0.0
    for _ in range(epochs):
        shuffled = data.take(rng.permutation(examples))
        for start in range(0, examples, batch_size):
            batch = shuffled.take(slice(start, start + batch_size))
            losses, gradient = model.gradient(batch)
            step(gradient)
            del gradient  # its memory serves the next step, unless somebody keeps it
            total = total + losses.astype(np.float64) * min(batch_size, examples - start)
    if isinstance(model, FlatModel):
        model.restore_frozen()
    found: float | np.ndarray = total / (epochs * examples)
    return found
