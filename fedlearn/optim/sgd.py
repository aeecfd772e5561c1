"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fedlearn.autograd.rows import RowSparse
from fedlearn.errors import BadInput
from fedlearn.nn.functional.arguments import real
from fedlearn.optim.optimizer import Group, Optimizer, OptimizerState


class SGD(Optimizer):
    """w -= lr v, where v is the gradient or, with momentum, its running sum.

    PyTorch's rule: g += weight_decay w; v = momentum v + (1 - dampening) g (v = g at the first step);
    with nesterov, g + momentum v takes the place of v. A row-sparse gradient touches only its rows,
    unless momentum or weight decay move the others too.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        options = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, lr=lr, **options, nesterov=nesterov, maximize=maximize)

    def check(self, group: Group) -> None:
        super().check(group)
        group["momentum"] = real(group["momentum"], "momentum", 0)
        group["dampening"] = real(group["dampening"], "dampening")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise BadInput("nesterov needs a momentum above 0 and no dampening")

    def slots(self, group: Group) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def update(self, weights: np.ndarray, gradient: np.ndarray, state: OptimizerState, step: int, group: Group) -> None:
        gradient = self.decay(weights, gradient, group)
        if group["momentum"]:
            velocity = state["momentum_buffer"]
            velocity *= group["momentum"]
            velocity += gradient if step == 1 else (1 - group["dampening"]) * gradient
            gradient = gradient + group["momentum"] * velocity if group["nesterov"] else velocity
        weights -= group["lr"] * gradient

    def update_rows(self, weights: np.ndarray, gradient: RowSparse, group: Group) -> bool:
        if group["momentum"] or group["weight_decay"]:
            return False
        gradient.add_into(weights, group["lr"] if group["maximize"] else -group["lr"])
        return True
