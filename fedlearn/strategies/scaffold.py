"""SCAFFOLD (Karimireddy et al. 2020, "Stochastic Controlled Averaging for Federated Learning", Algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlearn.configured import make_real, make_whole
from fedlearn.datasets.examples import Examples
from fedlearn.models.base import Trainable
from fedlearn.strategies.base import MOST_EPOCHS, MOST_EXAMPLES, LocalUpdate, Output, RoundContext, State, Strategy
from fedlearn.training.loop import Shuffles, train_epochs


@dataclass(frozen=True)
class Scaffold(Strategy):
    """Control variates take the drift out of local steps: c estimates the gradient of all clients, c_i client i's own.

    Of the paper's two ways to renew c_i this is option II. Each client counts the same, however many examples it
    has, as in the paper; so c stays the mean of all the c_i, but for quantisation. A c_i stays with its client: what
    goes up, protected as the delta is, is how it changed.

    epochs, batch_size, lr: of the local SGD, K steps at eta_l in the paper. server_lr: eta_g.
    """

    epochs: int = 1
    batch_size: int = 32
    lr: float = 0.1
    server_lr: float = 1.0

    name = "scaffold"
    max_weight = 1

    def __post_init__(self) -> None:
        make_whole(self, "epochs", least=1, most=MOST_EPOCHS)
        make_whole(self, "batch_size", least=1, most=MOST_EXAMPLES)
        make_real(self, "lr", above=0, usual="0.1 is a usual start")
        make_real(self, "server_lr", above=0, usual="1.0 is usual")

    def outputs(self, parameters: int) -> Mapping[str, Output]:
        return {"delta": Output(parameters), "delta_c": Output(parameters)}

    def broadcasts(self, parameters: int) -> Mapping[str, int]:
        return {"c": parameters}

    def keeps(self, parameters: int) -> Mapping[str, int]:
        return {"c_i": parameters}

    def local_update(self, model: Trainable, data: Examples, state: State, rng: Shuffles) -> LocalUpdate:
        y, x = model.vector, model.vector.copy()
        c, c_i = state["c"], state["c_i"]

        def step(gradient: np.ndarray) -> None:
            np.subtract(y, self.lr * (gradient - c_i + c), out=y)

        loss = train_epochs(model, data, self.epochs, self.batch_size, rng, step)
        steps = self.epochs * math.ceil(len(data) / self.batch_size)
        c_plus = c_i - c + (x - y) / np.float32(steps * self.lr)
        return LocalUpdate({"delta": y - x, "delta_c": c_plus - c_i}, 1, loss, {"c_i": c_plus})

    def server_step(
        self, weights: np.ndarray, mean: Mapping[str, np.ndarray], state: State, context: RoundContext
    ) -> tuple[np.ndarray, State]:
        x = weights + self.server_lr * mean["delta"]
        c = state.get("c", 0.0) + context.participation * mean["delta_c"]
        return x.astype(np.float32), {"c": c}
