"""Adaptive server optimizers (Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2).

One algorithm, three second moments: the mean delta stands for a negative gradient. Moments start at zero, as in
most implementations (the paper lets the second start at tau^2 or above).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.strategies.base import RoundContext, State
from fedlearn.strategies.fedavg import FedAvg


@dataclass(frozen=True)
class FedOpt(FedAvg):
    """w <- w + server_lr * m / (sqrt(v) + tau), m and v moving means of the mean delta and of its square.

    beta1, beta2: their decay. tau: the degree of adaptivity (smaller adapts more).
    """

    server_lr: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise BadInput(f"beta1, beta2 are {self.beta1}, {self.beta2}, they must be at least 0 and under 1")
        if not (self.tau > 0 and self.server_lr > 0):
            raise BadInput(f"tau, server_lr are {self.tau}, {self.server_lr}, they must be above 0")

    @abstractmethod
    def second_moment(self, v: np.ndarray, square: np.ndarray) -> np.ndarray:
        """The new v from the old one and the square of the mean delta."""

    def server_step(
        self, weights: np.ndarray, mean: Mapping[str, np.ndarray], state: State, context: RoundContext
    ) -> tuple[np.ndarray, State]:
        delta = mean["delta"]
        m = self.beta1 * state.get("m", np.zeros_like(delta)) + (1 - self.beta1) * delta
        v = self.second_moment(state.get("v", np.zeros_like(delta)), delta**2)
        return (weights + self.server_lr * m / (np.sqrt(v) + self.tau)).astype(np.float32), {"m": m, "v": v}


class FedAdagrad(FedOpt):
    name = "fedadagrad"

    def second_moment(self, v: np.ndarray, square: np.ndarray) -> np.ndarray:
        return v + square


class FedAdam(FedOpt):
    name = "fedadam"

    def second_moment(self, v: np.ndarray, square: np.ndarray) -> np.ndarray:
        return self.beta2 * v + (1 - self.beta2) * square


class FedYogi(FedOpt):
    name = "fedyogi"

    def second_moment(self, v: np.ndarray, square: np.ndarray) -> np.ndarray:
        return v - (1 - self.beta2) * square * np.sign(v - square)
