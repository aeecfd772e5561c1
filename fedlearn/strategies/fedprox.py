"""FedProx (Li et al. 2020, "Federated Optimization in Heterogeneous Networks", Algorithm 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlearn.configured import make_real
from fedlearn.strategies.fedavg import FedAvg


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedAvg whose clients minimise their loss plus mu / 2 * |w - w_global|^2, which holds them near.

    mu: the weight of that proximal term; 0 is FedAvg.
    """

    mu: float = 0.01

    name = "fedprox"
    leaves_untouched_weights = FedAvg.leaves_untouched_weights

    def __post_init__(self) -> None:
        super().__post_init__()
        make_real(self, "mu", least=0, usual="0.01 is a usual start")

    def adjusted(self, gradient: np.ndarray, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
        found: np.ndarray = gradient + self.mu * (weights - start)
        return found
