"""One cycle up and down (Smith and Topin 2018), the momentum against the rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fedlearn.errors import BadInput
from fedlearn.nn.functional.arguments import real, whole
from fedlearn.optim.lr_scheduler.base import LRScheduler, groups_of
from fedlearn.optim.optimizer import Optimizer
from fedlearn.wording import many


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr, down to a final_div_factor-th of the start, in total_steps steps.

    total_steps       or epochs and steps_per_epoch
    pct_start         the share of steps that goes up
    anneal_strategy   "cos" or "linear"
    cycle_momentum    momentum (or the first beta) goes from max_momentum down to base_momentum and back
    three_phase       down to the start's rate as slowly as up, and only then to the end
    max_lr, base_momentum and max_momentum are one number or one for each group. Rates are set, not multiplied.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise BadInput("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
            total_steps = whole(epochs, "epochs", 1) * whole(steps_per_epoch, "steps_per_epoch", 1)
        if anneal_strategy not in ("cos", "linear"):
            raise BadInput(f"anneal_strategy {anneal_strategy!r:.60}: choose cos or linear")
        self.total_steps = whole(total_steps, "total_steps", 1)
        self.cosine = anneal_strategy == "cos"
        self.cycle_momentum = cycle_momentum
        groups = groups_of(optimizer, self)
        tops = _each(max_lr, groups, "max_lr")
        self._starts = [top / real(div_factor, "div_factor", 1e-300) for top in tops]
        ends = [start / real(final_div_factor, "final_div_factor", 1e-300) for start in self._starts]
        pct_start = real(pct_start, "pct_start", 0, 1)
        up, last = float(pct_start * self.total_steps) - 1, float(self.total_steps - 1)
        self._ends = [up, 2 * up, last] if three_phase else [up, last]
        self._rates = [
            [start, top, start, end] if three_phase else [start, top, end]
            for start, top, end in zip(self._starts, tops, ends, strict=True)
        ]
        if cycle_momentum:
            if not ({"momentum", "betas"} & set(optimizer.defaults)):
                raise BadInput(f"{type(optimizer).__name__} has no momentum to cycle: give cycle_momentum=False")
            lows, highs = _each(base_momentum, groups, "base_momentum"), _each(max_momentum, groups, "max_momentum")
            self._momenta = [
                [high, low, high, high] if three_phase else [high, low, high]
                for low, high in zip(lows, highs, strict=True)
            ]
        if last_epoch == -1:
            for group, start in zip(optimizer.param_groups, self._starts, strict=True):
                group["initial_lr"] = group["lr"] = start
        super().__init__(optimizer, last_epoch)

    def rate(self, step: int, base: float) -> float:
        return self._between(step, self._rates[self.base_lrs.index(base)])

    def rates(self, step: int) -> list[float]:
        return [self._between(step, way) for way in self._rates]

    def step(self) -> None:
        """Go to the next step; raises `BadInput` beyond the last."""
        if self.last_epoch >= self.total_steps:
            raise BadInput(f"OneCycleLR has made its {many(self.total_steps, 'step')}: give more total_steps")
        self.last_epoch += 1
        for number, group in enumerate(self.optimizer.param_groups):
            group["lr"] = self._between(self.last_epoch, self._rates[number])
            if self.cycle_momentum:
                momentum = self._between(self.last_epoch, self._momenta[number])
                if "betas" in group:
                    group["betas"] = (momentum, group["betas"][1])
                else:
                    group["momentum"] = momentum
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _between(self, step: int, way: list[float]) -> float:
        """The value at `step`, between the numbers of the phase that it lies in."""
        start = 0.0
        for phase, end in enumerate(self._ends):
            if step <= end or phase == len(self._ends) - 1:
                share = (step - start) / (end - start) if end != start else 1.0
                low, high = way[phase], way[phase + 1]
                if self.cosine:
                    return high + (low - high) / 2 * (1 + math.cos(math.pi * share))
                return low + (high - low) * share
            start = end
        raise AssertionError("there is always a last phase")


def _each(value: Any, groups: int, name: str) -> list[float]:
    """One number for each group, from one or several."""
    given = list(value) if isinstance(value, list | tuple) else [value] * groups
    if len(given) != groups:
        raise BadInput(f"{name} is {value!r:.60}: give one number, or one for each of {many(groups, 'group')}")
    return [real(number, name, 0) for number in given]
