"""How far the server goes in each round: the schedules of `fedlearn.optim.lr_scheduler`, with rounds as their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from aggregator.named import SCHEDULES
from fedlearn.configured import real_number
from fedlearn.errors import BadInput
from fedlearn.nn import Parameter
from fedlearn.optim import SGD
from fedlearn.optim.lr_scheduler import LRScheduler
from fedlearn.spec import construct, keys_of

TO_THE_END = ("T_max", "total_iters")  # lengths that are the run's own where nothing is said
UP = ("linear",)  # a warm-up has a length of its own
Factor = Callable[[int], float]


def factor_of(given: Any, rounds: int) -> Factor:
    """The share of the server's step that a round's mean is applied with, by round, from 1; 1 where none is given.

    given: a schedule as on the command line, `step:10,gamma=0.5`, in which the rate at the beginning is 1; or a
    function of the round. Raises `BadInput` for anything else, and in a round for a share below 0 or not finite.
    """
    if given is None:
        return lambda round: 1.0
    if callable(given):
        return lambda round: _checked(given(round), round)
    if not isinstance(given, str):
        raise BadInput(f"server_lr_schedule is {given!r:.80}: give a name, as 'cosine', or a function of the round")
    schedule = _schedule(given, rounds)
    return lambda round: _checked(schedule.rates(round - 1)[0], round)


def _schedule(spec: str, rounds: int) -> LRScheduler:
    name, argument = SCHEDULES.split(spec)
    kind = SCHEDULES.load(name)
    if not (isinstance(kind, type) and issubclass(kind, LRScheduler)):
        raise BadInput(f"schedule {name} is none: derive it from fedlearn.optim.lr_scheduler.LRScheduler")
    optimizer = SGD([Parameter(np.zeros(1, np.float32))], lr=1.0)
    lengths = {} if name in UP else {length: rounds for length in TO_THE_END if length in keys_of(kind)}
    built: LRScheduler = construct(kind, argument, f"schedule {name}", optimizer, **lengths)
    return built


def _checked(factor: Any, round: int) -> float:
    return real_number(f"the server's learning rate in round {round}", factor, least=0, usual="1 is the whole step")


def applied(before: np.ndarray, after: np.ndarray, factor: float) -> np.ndarray:
    """Weights (P,) float32 that far on the way from one to the other; 1 gives `after`, bit for bit."""
    return after if factor == 1 else before + np.float32(factor) * (after - before)
