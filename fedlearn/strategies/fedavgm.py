"""FedAvgM: momentum at the server (Hsu, Qi and Brown 2019, section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlearn.configured import make_real
from fedlearn.strategies.base import RoundContext, State
from fedlearn.strategies.fedavg import FedAvg


@dataclass(frozen=True)
class FedAvgM(FedAvg):
    """The server keeps a velocity v <- beta * v + mean delta, and moves by server_lr * v.

    beta: server momentum, 0 <= beta < 1. server_lr: its learning rate; with beta = 0 and 1.0 this is FedAvg.
    """

    beta: float = 0.9
    server_lr: float = 1.0

    name = "fedavgm"

    def __post_init__(self) -> None:
        super().__post_init__()
        make_real(self, "beta", least=0, below=1, usual="0.9 is usual")
        make_real(self, "server_lr", above=0, usual="1.0 is usual")

    def server_step(
        self, weights: np.ndarray, mean: Mapping[str, np.ndarray], state: State, context: RoundContext
    ) -> tuple[np.ndarray, State]:
        velocity = self.beta * state.get("velocity", 0.0) + mean["delta"]
        return (weights + self.server_lr * velocity).astype(np.float32), {"velocity": velocity}
