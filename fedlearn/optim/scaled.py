"""Steps scaled by the size of past gradients: RMSprop forgets old ones, Adagrad sums them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fedlearn.optim.optimizer import Group, Optimizer, State, not_negative


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
    ):
        not_negative(lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)
        options = {"weight_decay": weight_decay, "momentum": momentum, "centered": centered}
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, **options)

    def slots(self, group: Group) -> dict[str, float]:
        names = ["square_avg"] + ["momentum_buffer"] * bool(group["momentum"]) + ["grad_avg"] * group["centered"]
        return dict.fromkeys(names, 0.0)

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: State, step: int, group: Group) -> None:
        gradient = self.decay(weights, gradient, group)
        alpha, size = group["alpha"], state["square_avg"]
        size *= alpha
        size += (1 - alpha) * gradient * gradient
        if group["centered"]:
            mean = state["grad_avg"]
            mean *= alpha
            mean += (1 - alpha) * gradient
            size = size - mean * mean
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
    ):
        options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        options["initial_accumulator_value"] = initial_accumulator_value
        not_negative(**options)
        super().__init__(params, **options)

    def slots(self, group: Group) -> dict[str, float]:
        return {"sum": group["initial_accumulator_value"]}

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: State, step: int, group: Group) -> None:
        gradient = self.decay(weights, gradient, group)
        total = state["sum"]
        total += gradient * gradient
        rate = group["lr"] / (1 + (step - 1) * group["lr_decay"])
        weights -= rate * gradient / (np.sqrt(total) + group["eps"])
