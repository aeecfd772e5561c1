"""Base of all schedules: a formula for the rate at a step, and the treatment of rates that others have changed.

A schedule whose rates nobody else touches follows its formula exactly. Where a person or another schedule has set a
rate in between, the schedule multiplies it by what the formula changes: schedules on one optimizer multiply, in any
order, and a rate set by hand is the rate from which it goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

from fedlearn.checked import check_flags
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.functional.arguments import whole
from fedlearn.optim.optimizer import Optimizer
from fedlearn.optim.states import rates, reading
from fedlearn.wording import many


class LRScheduler(ABC):
    """Base of the schedules. A subclass defines `rate(step, base)`.

    last_epoch: the step after which training goes on, of an optimizer whose state was loaded; -1 begins anew.
    """

    floor = 0.0  # the part of a rate that no factor applies to

    def __new__(cls, *args: Any, **options: Any) -> Self:
        check_flags(cls, args, options)
        return super().__new__(cls)

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        groups_of(optimizer, self)
        self.optimizer = optimizer
        self.last_epoch = whole(last_epoch, "last_epoch", -1)
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise BadInput(f"last_epoch {last_epoch} goes with an optimizer whose state was loaded: load it first")
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self._last_lr = list(self.base_lrs) if last_epoch == -1 else self.rates(self.last_epoch)
        self.step()

    @abstractmethod
    def rate(self, step: int, base: float) -> float:
        """The learning rate after `step` steps of a group that began with `base`."""

    def rates(self, step: int) -> list[float]:
        """The same for every group."""
        return [self.rate(step, base) for base in self.base_lrs]

    def step(self) -> None:
        """Go to the next step: set the rate of every group; `BadInput`, and no rate set, where one is no float."""
        try:
            before = self.base_lrs if self.last_epoch < 0 else self.rates(self.last_epoch)
            now = self.rates(self.last_epoch + 1)
        except OverflowError:
            raise BadInput(
                f"{type(self).__name__}'s rate at step {self.last_epoch + 1} is larger than any float: lower its factor"
            ) from None
        self._set(before, now)
        self.last_epoch += 1

    def get_last_lr(self) -> list[float]:
        """The rate of each group as this schedule set it last."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """The schedule's state. The rates themselves are in the optimizer's state: save and load both."""
        return {
            "kind": type(self).__name__,
            "base_lrs": list(self.base_lrs),
            "last_epoch": self.last_epoch,
            "_last_lr": list(self._last_lr),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where another schedule of this kind was; `BadInput` for another state, having changed nothing."""
        count, own = len(self.base_lrs), type(self).__name__
        with reading(self):
            kind = state_dict.get("kind", own)  # PyTorch's states do not say it
            if kind != own:
                raise BadInput(f"the state of a {kind!s:.60} is loaded into a {own}: make the schedule that saved it")
            if len(state_dict["base_lrs"]) != count:
                raise ShapeError(
                    f"the schedule's state is for {many(len(state_dict['base_lrs']), 'group')}, not for {count}"
                )
            base_lrs = rates(state_dict["base_lrs"], count)
            last_epoch = whole(state_dict["last_epoch"], "last_epoch", 0)
            last = rates(state_dict["_last_lr"], count) if "_last_lr" in state_dict else None
        untouched = [group["lr"] for group in self.optimizer.param_groups] == self._last_lr
        self.base_lrs, self.last_epoch = base_lrs, last_epoch
        self._last_lr = self.rates(last_epoch) if last is None else last
        if untouched:  # an optimizer that is as new as this schedule was: its rates go on as well
            for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
                group["lr"] = rate

    def _set(self, before: list[float], now: list[float]) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(now):
            raise BadInput(
                f"{many(len(groups), 'group')} of parameters, and a schedule made for {len(now)}: make a new one"
            )
        for group, last, old, new in zip(groups, self._last_lr, before, now, strict=True):
            group["lr"] = new if group["lr"] == last == old else self._carried(group["lr"], old, new)
        self._last_lr = [group["lr"] for group in groups]

    def _carried(self, rate: float, before: float, now: float) -> float:
        """The new value of a rate that others have set, when the formula's value goes from `before` to `now`."""
        if before == now:
            return rate
        if before == self.floor:
            return rate + now - before
        return self.floor + (rate - self.floor) * ((now - self.floor) / (before - self.floor))


def groups_of(optimizer: Optimizer, schedule: object) -> int:
    """How many groups of parameters there are to schedule; raises `BadInput` for anything but an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise BadInput(f"{type(schedule).__name__} schedules an Optimizer, not a {type(optimizer).__name__}")
    return len(optimizer.param_groups)
