"""FedNova (Wang et al. 2020, "Tackling the Objective Inconsistency Problem", section 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.datasets.examples import Examples
from fedlearn.models.base import Trainable
from fedlearn.strategies.base import LocalUpdate, Output, RoundContext, State
from fedlearn.strategies.fedavg import FedAvg
from fedlearn.training.loop import Shuffles

MAX_STEPS = 2**15  # the bound of the a_i that clients send


@dataclass(frozen=True)
class FedNova(FedAvg):
    """Clients that took more local steps do not pull the mean further: each sends its delta per step.

    With a_i the length of client i's accumulated gradients (its steps, for SGD without momentum), it sends
    delta_i / a_i, and the server moves by the mean of these times the mean of the a_i.
    """

    name = "fednova"
    leaves_untouched_weights = FedAvg.leaves_untouched_weights
    local_optimizers: ClassVar[tuple[str, ...]] = ("sgd",)  # the a_i below count its steps

    def outputs(self, parameters: int) -> Mapping[str, Output]:
        return {"delta": Output(parameters), "steps": Output(1, bound=float(MAX_STEPS))}

    def local_update(self, model: Trainable, data: Examples, state: State, rng: Shuffles) -> LocalUpdate:
        update = super().local_update(model, data, state, rng)
        length = self.accumulated(self.epochs * math.ceil(len(data) / self.batch_size))
        vectors = {"delta": update.vectors["delta"] / np.float32(length), "steps": np.array([length])}
        return LocalUpdate(vectors, update.examples, update.loss)

    def accumulated(self, steps: int) -> float:
        """The 1-norm of the weights that `steps` of SGD with momentum give their gradients (the paper's a_i)."""
        rho = self.momentum
        return (steps - rho * (1 - rho**steps) / (1 - rho)) / (1 - rho)

    def server_step(
        self, weights: np.ndarray, mean: Mapping[str, np.ndarray], state: State, context: RoundContext
    ) -> tuple[np.ndarray, State]:
        return (weights + mean["steps"] * mean["delta"]).astype(np.float32), state
