"""Learning rates that change: call `scheduler.step()` after each epoch, under PyTorch's names.

Each rule is a formula for the rate at a step, given the rate the optimizer began with.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from fedlearn.errors import BadInput, ShapeError
from fedlearn.optim.optimizer import Optimizer


class LRScheduler(ABC):
    """Base of the schedules. A subclass defines `rate(step, base)`."""

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._apply()

    @abstractmethod
    def rate(self, step: int, base: float) -> float:
        """The learning rate after `step` steps of a group that began with `base`."""

    def step(self) -> None:
        self.last_epoch += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        return {"base_lrs": list(self.base_lrs), "last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        base_lrs = list(state_dict["base_lrs"])
        if len(base_lrs) != len(self.base_lrs):
            raise ShapeError(f"the schedule's state is for {len(base_lrs)} groups, not for {len(self.base_lrs)}")
        self.base_lrs = base_lrs
        self.last_epoch = state_dict["last_epoch"]
        self._apply()

    def _apply(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(self.last_epoch, base)


class LambdaLR(LRScheduler):
    """base times lr_lambda(step)."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]):
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return base * self.lr_lambda(step)


class StepLR(LRScheduler):
    """Times gamma every step_size steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        if step_size < 1:
            raise BadInput(f"step_size {step_size} is out of range: give 1 or more")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return base * self.gamma ** (step // self.step_size)


class CosineAnnealingLR(LRScheduler):
    """Down from base to eta_min along half a cosine of T_max steps (Loshchilov and Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):  # noqa: N803 (PyTorch's name)
        if T_max < 1:
            raise BadInput(f"T_max {T_max} is out of range: give 1 or more")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2


class LinearLR(LRScheduler):
    """From start_factor to end_factor times base in total_iters equal steps: a warm-up."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ):
        if total_iters < 1:
            raise BadInput(f"total_iters {total_iters} is out of range: give 1 or more")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        share = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class SequentialLR(LRScheduler):
    """One schedule after another: the next begins, at its own step 0, at each of the rising `milestones`."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]):
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(set(milestones)):
            raise BadInput(f"{len(schedulers)} schedules need one fewer rising milestones, not {list(milestones)}")
        self.schedulers = schedulers
        self.milestones = milestones
        super().__init__(optimizer)

    def rate(self, step: int, base: float) -> float:
        passed = sum(step >= milestone for milestone in self.milestones)
        begun = self.milestones[passed - 1] if passed else 0
        return self.schedulers[passed].rate(step - begun, base)
