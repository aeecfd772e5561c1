"""Steps scaled by the size of past gradients: RMSprop forgets old ones, Adagrad sums them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fedlearn.nn.functional.arguments import real
from fedlearn.optim.optimizer import Group, Optimizer, OptimizerState
from fedlearn.optim.rules import mean_towards, square_summed, square_towards


class RMSprop(Optimizer):
    """Tieleman and Hinton 2012, PyTorch's form: v = a v + (1 - a) g^2; w -= lr g / (sqrt(v) + eps).

    `centered` takes the variance in place of v; `momentum` sums the scaled steps.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {"weight_decay": weight_decay, "momentum": momentum, "centered": centered, "maximize": maximize}
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, **options)

    def check(self, group: Group) -> None:
        super().check(group)
        group["alpha"] = real(group["alpha"], "alpha", 0, 1)
        for name in ("eps", "momentum"):
            group[name] = real(group[name], name, 0)

    def slots(self, group: Group) -> dict[str, float]:
        names = ["square_avg"] + ["momentum_buffer"] * bool(group["momentum"]) + ["grad_avg"] * bool(group["centered"])
        return dict.fromkeys(names, 0.0)

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: OptimizerState, step: int, group: Group) -> None:
        gradient = self.decay(weights, gradient, group)
        alpha, size = group["alpha"], state["square_avg"]
        square_towards(size, gradient, alpha)
        if group["centered"]:
            mean = state["grad_avg"]
            mean_towards(mean, gradient, alpha)
            size = np.maximum(size - mean * mean, 0)  # rounding may leave a variance below 0
        move = gradient / (np.sqrt(size) + group["eps"])
        if group["momentum"]:
            velocity = state["momentum_buffer"]
            velocity *= group["momentum"]
            velocity += move
            move = velocity
        weights -= group["lr"] * move


class Adagrad(Optimizer):
    """Duchi et al. 2011, PyTorch's form: s += g^2; w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        options = {"lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
        super().__init__(params, lr=lr, **options, initial_accumulator_value=initial_accumulator_value)

    def check(self, group: Group) -> None:
        super().check(group)
        for name in ("lr_decay", "initial_accumulator_value", "eps"):
            group[name] = real(group[name], name, 0)

    def slots(self, group: Group) -> dict[str, float]:
        return {"sum": group["initial_accumulator_value"]}

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: OptimizerState, step: int, group: Group) -> None:
        gradient = self.decay(weights, gradient, group)
        total = state["sum"]
        square_summed(total, gradient)
        rate = group["lr"] / (1 + (step - 1) * group["lr_decay"])
        weights -= rate * gradient / (np.sqrt(total) + group["eps"])
