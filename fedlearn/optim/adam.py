"""Adam and its relatives: each weight has a step of its own, by the mean and the size of its past gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.nn.functional.arguments import real
from fedlearn.optim.optimizer import Group, Optimizer, OptimizerState
from fedlearn.optim.rules import mean_towards, square_by_sign, square_towards


class _Moments(Optimizer):
    """A mean and a size of past gradients; weight decay enters the gradient, or is decoupled from it."""

    def slots(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def check(self, group: Group) -> None:
        super().check(group)
        group["eps"] = real(group["eps"], "eps", 0)
        betas = group["betas"]
        if (
            not isinstance(betas, tuple | list | np.ndarray)
            or np.shape(betas) != (2,)
            or not all(real(beta, "a beta", 0) < 1 for beta in betas)
        ):
            raise BadInput(f"betas are {betas!r:.60}: give two numbers in [0, 1)")
        group["betas"] = (float(betas[0]), float(betas[1]))

    def remember(
        self, weights: np.ndarray, gradient: np.ndarray, state: OptimizerState, group: Group
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The gradient with weight decay, the mean and the size with it in them."""
        gradient = self.decay(weights, gradient, group)
        mean_towards(state["exp_avg"], gradient, group["betas"][0])
        square_towards(state["exp_avg_sq"], gradient, group["betas"][1])
        return gradient, state["exp_avg"], state["exp_avg_sq"]


class Adam(_Moments):
    """Kingma and Ba 2015, with PyTorch's defaults; weight decay is added to the gradient, unless it is decoupled.

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
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        options = {"weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize}
        options["decoupled_weight_decay"] = decoupled_weight_decay
        super().__init__(params, lr=lr, betas=betas, eps=eps, **options)

    def slots(self, group: Group) -> dict[str, float]:
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        return dict.fromkeys(names, 0.0)

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: OptimizerState, step: int, group: Group) -> None:
        _, mean, size = self.remember(weights, gradient, state, group)
        first, second = group["betas"]
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
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


class NAdam(_Moments):
    """Adam with Nesterov's momentum (Dozat 2016): the step looks ahead by the next momentum.

    Momentum t is b1 (1 - 0.96^(t momentum_decay) / 2). The product of those so far is remembered: a schedule may change
    b1 from step to step.
    """

    counts: ClassVar = {**_Moments.counts, "mu_product": lambda value: real(float(value), "mu_product", 0, 1)}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {"weight_decay": weight_decay, "momentum_decay": momentum_decay, "maximize": maximize}
        options["decoupled_weight_decay"] = decoupled_weight_decay
        super().__init__(params, lr=lr, betas=betas, eps=eps, **options)
        self._product = 1.0  # of the parameters that are about to be changed

    def check(self, group: Group) -> None:
        super().check(group)
        group["momentum_decay"] = real(group["momentum_decay"], "momentum_decay", 0)

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: OptimizerState, step: int, group: Group) -> None:
        gradient, mean, size = self.remember(weights, gradient, state, group)
        now, coming = _momentum(step, group), _momentum(step + 1, group)
        scale = np.sqrt(size / (1 - group["betas"][1] ** step))
        scale += group["eps"]
        weights -= group["lr"] * (1 - now) / (1 - self._product) * gradient / scale
        weights -= group["lr"] * coming / (1 - self._product * coming) * mean / scale

    def count(self, memory: dict[str, Any], group: Group) -> None:
        """Note one more step, and its momentum in the product of all so far."""
        if "mu_product" not in memory:  # of a new parameter, or of a state that was saved without it
            memory["mu_product"] = math.prod(_momentum(t + 1, group) for t in range(memory["step"]))
        super().count(memory, group)
        memory["mu_product"] *= _momentum(memory["step"], group)
        self._product = memory["mu_product"]


def _momentum(step: int, group: Group) -> float:
    return float(group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"])))


class RAdam(_Moments):
    """Adam whose step waits until the size is known well enough (Liu et al. 2020), and is scaled by how well."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {"weight_decay": weight_decay, "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, lr=lr, betas=betas, eps=eps, **options)

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: OptimizerState, step: int, group: Group) -> None:
        _, mean, size = self.remember(weights, gradient, state, group)
        first, second = group["betas"]
        move = group["lr"] / (1 - first**step) * mean
        most = 2 / (1 - second) - 1
        length = most - 2 * step * second**step / (1 - second**step)  # of the mean of squares, in steps
        if length > 5:
            known = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
            move *= math.sqrt(known * (1 - second**step))
            move /= np.sqrt(size) + group["eps"]
        weights -= move


class Yogi(_Moments):
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
        *,
        maximize: bool = False,
    ):
        options = {"eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, lr=lr, betas=betas, **options, initial_accumulator_value=initial_accumulator_value)

    def check(self, group: Group) -> None:
        super().check(group)
        value = group["initial_accumulator_value"]
        group["initial_accumulator_value"] = real(value, "initial_accumulator_value", 0)

    def slots(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": group["initial_accumulator_value"]}

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: OptimizerState, step: int, group: Group) -> None:
        gradient = self.decay(weights, gradient, group)
        first, second = group["betas"]
        mean, size = state["exp_avg"], state["exp_avg_sq"]
        mean_towards(mean, gradient, first)
        square_by_sign(size, gradient, second)
        weights -= group["lr"] * mean / (np.sqrt(size) + group["eps"])
