"""Adam and its relatives: each weight has a step of its own, by the mean and the size of its past gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.optim.optimizer import Group, Optimizer, State, not_negative


class Adam(Optimizer):
    """Kingma and Ba 2015, with PyTorch's defaults; weight decay is added to the gradient.

    m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; both corrected for having begun at 0;
    w -= lr m / (sqrt(v) + eps). With `amsgrad` (Reddi et al. 2018) the largest v so far is used.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ):
        _check(lr, betas, eps, weight_decay)
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)

    def slots(self, group: Group) -> dict[str, float]:
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * group["amsgrad"]
        return dict.fromkeys(names, 0.0)

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: State, step: int, group: Group) -> None:
        gradient = self.decay(weights, gradient, group)
        first, second = group["betas"]
        mean, size = state["exp_avg"], state["exp_avg_sq"]
        mean *= first
        mean += (1 - first) * gradient
        size *= second
        size += (1 - second) * gradient * gradient
        if group["amsgrad"]:
            size = np.maximum(state["max_exp_avg_sq"], size, out=state["max_exp_avg_sq"])
        scale = np.sqrt(size)
        scale /= math.sqrt(1 - second**step)
        scale += group["eps"]
        weights -= group["lr"] / (1 - first**step) * mean / scale


class AdamW(Adam):
    """Adam with the weights themselves shrunk by lr weight_decay at each step (Loshchilov and Hutter 2019)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def decay(self, weights: np.ndarray, gradient: np.ndarray, group: Group) -> np.ndarray:
        weights *= 1 - group["lr"] * group["weight_decay"]
        return gradient


class Yogi(Optimizer):
    """Zaheer et al. 2018, algorithm 2: as Adam, but v moves by a step of the size of g^2 and no more.

    v -= (1 - b2) sign(v - g^2) g^2, begun at `initial_accumulator_value`; w -= lr m / (sqrt(v) + eps).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-3,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 1e-6,
    ):
        _check(lr, betas, eps, weight_decay)
        not_negative(initial_accumulator_value=initial_accumulator_value)
        options = {"eps": eps, "weight_decay": weight_decay}
        super().__init__(params, lr=lr, betas=betas, **options, initial_accumulator_value=initial_accumulator_value)

    def slots(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": group["initial_accumulator_value"]}

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: State, step: int, group: Group) -> None:
        gradient = self.decay(weights, gradient, group)
        first, second = group["betas"]
        mean, size = state["exp_avg"], state["exp_avg_sq"]
        mean *= first
        mean += (1 - first) * gradient
        square = gradient * gradient
        size -= (1 - second) * np.sign(size - square) * square
        weights -= group["lr"] * mean / (np.sqrt(size) + group["eps"])


def _check(lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise BadInput(f"betas {betas} are out of range: give two numbers in [0, 1)")
