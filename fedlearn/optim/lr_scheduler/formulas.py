"""Schedules that are a formula of the step, and one schedule after another."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fedlearn.checked import in_order
from fedlearn.errors import BadInput
from fedlearn.nn.functional.arguments import real, whole
from fedlearn.optim.lr_scheduler.base import LRScheduler, groups_of
from fedlearn.optim.optimizer import Optimizer
from fedlearn.wording import many

Factor = Callable[[int], float]


class LambdaLR(LRScheduler):
    """base times lr_lambda(step); one function, or one for each group of parameters."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1):
        groups = groups_of(optimizer, self)
        given: Any = lr_lambda
        self.lr_lambdas: list[Factor] = list(given) if isinstance(given, list | tuple) else [given] * groups
        if len(self.lr_lambdas) != groups or not all(callable(each) for each in self.lr_lambdas):
            raise BadInput(
                f"LambdaLR was given {lr_lambda!r:.60}: give one function, or one for each of {many(groups, 'group')}"
            )
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        return base * self._factor(self.lr_lambdas[0], step)

    def rates(self, step: int) -> list[float]:
        return [base * self._factor(each, step) for base, each in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def _factor(self, given: Factor, step: int) -> float:
        return real(given(step), f"lr_lambda({step})", 0)


class StepLR(LRScheduler):
    """Times gamma every step_size steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size = whole(step_size, "step_size", 1)
        self.gamma = real(gamma, "gamma", 0)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        return base * self.gamma ** (step // self.step_size)


class MultiStepLR(LRScheduler):
    """Times gamma at each of the milestones."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        if not isinstance(milestones, Iterable) or isinstance(milestones, str):
            raise BadInput(f"milestones are {milestones!r:.60}: give a list of whole numbers")
        self.milestones = sorted(whole(milestone, "a milestone", 0) for milestone in milestones)
        self.gamma = real(gamma, "gamma", 0)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        return base * self.gamma ** bisect_right(self.milestones, step)


class ExponentialLR(LRScheduler):
    """Times gamma every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = real(gamma, "gamma", 0)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        return base * self.gamma**step


class ConstantLR(LRScheduler):
    """base times factor for total_iters steps, then base."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1):
        self.factor = real(factor, "factor", 0, 1)
        self.total_iters = whole(total_iters, "total_iters", 0)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        return base * self.factor if step < self.total_iters else base


class LinearLR(LRScheduler):
    """From start_factor to end_factor times base in total_iters equal steps: a warm-up."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if not real(start_factor, "start_factor", 0, 1):
            raise BadInput("start_factor is 0: give a number above 0, up to 1")
        self.start_factor = start_factor
        self.end_factor = real(end_factor, "end_factor", 0, 1)
        self.total_iters = whole(total_iters, "total_iters", 1)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        share = min(step, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class PolynomialLR(LRScheduler):
    """Down from base to 0 in total_iters steps, as (1 - step / total_iters) to a power."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self.total_iters = whole(total_iters, "total_iters", 1)
        self.power = real(power, "power", 0)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        return float(base * (1 - min(step, self.total_iters) / self.total_iters) ** self.power)


class CosineAnnealingLR(LRScheduler):
    """Down from base to eta_min along half a cosine of T_max steps (Loshchilov and Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):  # noqa: N803
        self.T_max = whole(T_max, "T_max", 1)
        self.floor = self.eta_min = real(eta_min, "eta_min", 0)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """The same, beginning anew after T_0 steps, then T_0 T_mult, and so on (Loshchilov and Hutter 2017)."""

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803 (PyTorch's names)
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        self.T_0, self.T_mult = whole(T_0, "T_0", 1), whole(T_mult, "T_mult", 1)
        self.floor = self.eta_min = real(eta_min, "eta_min", 0)
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        length = self.T_0
        if self.T_mult == 1:
            step %= length
        while step >= length:
            step, length = step - length, length * self.T_mult
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / length)) / 2


class SequentialLR(LRScheduler):
    """One schedule after another: the next begins, at its own step 0, at each of the rising `milestones`."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ):
        schedulers, milestones = in_order(schedulers, "schedules"), in_order(milestones, "milestones")
        for schedule in schedulers:
            if not isinstance(schedule, LRScheduler) or getattr(schedule, "cycle_momentum", False):
                raise BadInput(
                    f"SequentialLR cannot run a {type(schedule).__name__}, which sets more than rates by a step"
                )
            if schedule.optimizer is not optimizer:
                raise BadInput(f"a {type(schedule).__name__} schedules another optimizer: make it for this one")
        self.schedulers = schedulers
        self.milestones = [whole(milestone, "a milestone", 1) for milestone in milestones]
        if len(milestones) != len(schedulers) - 1 or self.milestones != sorted(set(self.milestones)):
            needed = many(len(schedulers) - 1, "milestone")
            raise BadInput(f"milestones are {milestones}: between {len(schedulers)} schedules give {needed}, rising")
        if last_epoch == -1:  # the schedules have set the rate as they were made
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"]
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        schedule, begun = self._at(step)
        return schedule.rate(step - begun, base)

    def rates(self, step: int) -> list[float]:
        schedule, begun = self._at(step)
        return schedule.rates(step - begun)

    def _at(self, step: int) -> tuple[LRScheduler, int]:
        """The schedule of a step, and the step at which it began."""
        passed = bisect_right(self.milestones, step)
        return self.schedulers[passed], self.milestones[passed - 1] if passed else 0
