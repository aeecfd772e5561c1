"""Adaptive server optimizers (Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2).

One algorithm, three second moments: the mean delta stands for a negative gradient. Moments start at zero, as in
most implementations (the paper lets the second start at tau^2 or above).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlearn.configured import make_real
from fedlearn.optim.rules import mean_towards, square_by_sign, square_summed, square_towards
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
        make_real(self, "server_lr", above=0, usual="0.1 is a usual start")
        make_real(self, "beta1", least=0, below=1, usual="0.9 is usual")
        make_real(self, "beta2", least=0, below=1, usual="0.99 is usual")
        make_real(self, "tau", above=0, usual="0.001 is usual")

    @abstractmethod
    def remember(self, v: np.ndarray, delta: np.ndarray) -> None:
        """Bring the second moment up to the mean delta, in place."""

    def server_step(
        self, weights: np.ndarray, mean: Mapping[str, np.ndarray], state: State, context: RoundContext
    ) -> tuple[np.ndarray, State]:
        delta = mean["delta"]
        m, v = (state[name].copy() if name in state else np.zeros_like(delta) for name in ("m", "v"))
        mean_towards(m, delta, self.beta1)
        self.remember(v, delta)
        return (weights + self.server_lr * m / (np.sqrt(v) + self.tau)).astype(np.float32), {"m": m, "v": v}


class FedAdagrad(FedOpt):
    """Nothing is forgotten of v: v <- v + delta^2.

    Its beta1 is .9, as the others'; the paper's runs, and Flower, have 0: no momentum.
    """

    name = "fedadagrad"

    def remember(self, v: np.ndarray, delta: np.ndarray) -> None:
        square_summed(v, delta)


class FedAdam(FedOpt):
    """v is a moving mean of the squares: v <- beta2 v + (1 - beta2) delta^2."""

    name = "fedadam"

    def remember(self, v: np.ndarray, delta: np.ndarray) -> None:
        square_towards(v, delta, self.beta2)


class FedYogi(FedOpt):
    """v moves towards the square by a step of its size: v <- v - (1 - beta2) delta^2 sign(v - delta^2)."""

    name = "fedyogi"

    def remember(self, v: np.ndarray, delta: np.ndarray) -> None:
        square_by_sign(v, delta, self.beta2)
