"""A rate that falls when training no longer gets on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.functional.arguments import real, whole
from fedlearn.optim.lr_scheduler.base import groups_of
from fedlearn.optim.optimizer import Optimizer
from fedlearn.optim.states import rates, reading
from fedlearn.wording import many

PYTORCHS = ("_last_lr", "default_min_lr", "mode_worse")  # what its states have besides


class ReduceLROnPlateau:
    """Times factor when `patience` steps have passed without a better number; call `step(number)`.

    mode                       "min" or "max": which numbers are better
    threshold, threshold_mode  by how much a number must be better, as a share ("rel") or outright ("abs")
    cooldown                   steps after a reduction in which none counts
    min_lr                     where a rate stops, one or one for each group; eps: smaller changes are left out
    A number that is nan is never better.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ):
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise BadInput(f"mode {mode!r}, threshold_mode {threshold_mode!r}: choose min or max, and rel or abs")
        if real(factor, "factor", 0) >= 1:
            raise BadInput(f"factor is {factor}: give a number below 1")
        groups = groups_of(optimizer, self)
        lowest = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        if len(lowest) != groups:
            raise BadInput(f"min_lr is {min_lr!r:.60}: give one number, or one for each of {many(groups, 'group')}")
        self.optimizer = optimizer
        self.mode, self.threshold_mode = mode, threshold_mode
        self.factor, self.threshold = float(factor), real(threshold, "threshold", 0)
        self.patience, self.cooldown = whole(patience, "patience", 0), whole(cooldown, "cooldown", 0)
        self.min_lrs = [real(rate, "min_lr", 0) for rate in lowest]
        self.eps = real(eps, "eps", 0)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def step(self, metrics: Any) -> None:
        """Report the last step's metric; lower the rates if it has stopped improving."""
        try:
            current = float(metrics) if not isinstance(metrics, str) else None
        except (TypeError, ValueError, ShapeError):
            current = None
        if current is None:
            raise BadInput(f"the metric to judge by is {metrics!r:.60}: give one number")
        if len(self.optimizer.param_groups) != len(self.min_lrs):
            raise BadInput(
                f"{many(len(self.optimizer.param_groups), 'group')} of parameters, and a schedule made for "
                f"{len(self.min_lrs)}: make a new one"
            )
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                lower = max(group["lr"] * self.factor, lowest)
                if group["lr"] - lower > self.eps:
                    group["lr"] = lower
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def get_last_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another was; `BadInput` for another state, having changed nothing."""
        with reading(self):
            state_dict = {name: value for name, value in state_dict.items() if name not in PYTORCHS}
            other = set(state_dict) ^ set(self.state_dict())
            if other:
                raise BadInput(
                    f"not the state of a ReduceLROnPlateau, where it differs in {', '.join(sorted(map(str, other)))}: "
                    "give what its state_dict() returned"
                )
            loaded = {name: self._loaded(name, value) for name, value in state_dict.items()}
        vars(self).update(loaded)

    def _loaded(self, name: str, value: Any) -> Any:
        """One entry of a state, of the kind that stands there now."""
        now = vars(self)[name]
        if isinstance(now, list):
            return rates(value, len(now))
        if isinstance(now, str):
            choices = ("min", "max") if name == "mode" else ("rel", "abs")
            if value not in choices:
                raise ValueError(f"{name} is {value!r:.60}")
            return value
        if isinstance(now, int):
            return whole(value, name, 0)
        return real(value, name, finite=False)

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "abs":
            return sign * current < sign * self.best - self.threshold
        return sign * current < sign * self.best * (1 - sign * self.threshold)
