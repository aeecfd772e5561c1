"""The loop that every strategy's local half shares: epochs of mini-batches over one client's examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from fedlearn.datasets.bags import Examples
from fedlearn.models.base import Model


class Optimizer(Protocol):
    def zero_grad(self) -> None: ...
    def step(self) -> None: ...


def train_epochs(
    model: Model,
    data: Examples,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator,
    adjust_gradients: Callable[[], None],
) -> float:
    """Train in place, each epoch in a fresh order drawn from `rng`; returns the mean loss per example.

    `adjust_gradients` is called between each backward pass and its step.
    """
    total = 0.0
    for _ in range(epochs):
        shuffled = data.take(rng.permutation(len(data)))
        for start in range(0, len(data), batch_size):
            batch = shuffled.take(slice(start, start + batch_size))
            optimizer.zero_grad()
            loss = model.loss(batch)
            loss.backward()
            adjust_gradients()
            optimizer.step()
            total += loss.item() * len(batch)
    return total / (epochs * len(data))
