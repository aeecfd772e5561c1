"""Simulated time, in seconds that nobody waits for: how long things take, and when a round closes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.spec import split_entries

DRAWS = 2  # uniform numbers that one value of a distribution is made of
LARGEST = 1e9  # seconds, or times longer: a distribution that goes beyond is a slip of the pen
EXTREME = np.array([1 - 2.0**-53, 0.0])  # the draws that give the largest value, whatever the distribution


@dataclass(frozen=True)
class Kind:
    """One family of distributions: how many parameters, what they must satisfy, and its values from uniform numbers."""

    form: str
    count: int
    fits: Callable[..., bool]
    values: Callable[..., np.ndarray]


def _normal(u: np.ndarray) -> np.ndarray:
    """Box and Muller 1958."""
    normal: np.ndarray = np.sqrt(-2 * np.log1p(-u[..., 0])) * np.cos(2 * np.pi * u[..., 1])
    return normal


KINDS = {
    "constant": Kind("x, more than 0", 1, lambda x: x > 0, lambda u, x: np.full(u.shape[:-1], x)),
    "uniform": Kind(
        "uniform(low,high) with 0 < low <= high", 2,
        lambda low, high: 0 < low <= high,
        lambda u, low, high: low + (high - low) * u[..., 0],
    ),
    "exponential": Kind(
        "exponential(mean) with mean > 0", 1,
        lambda mean: mean > 0,
        lambda u, mean: -mean * np.log1p(-u[..., 0]),
    ),
    "lognormal": Kind(
        "lognormal(mu,sigma) with sigma >= 0", 2,
        lambda mu, sigma: sigma >= 0,
        lambda u, mu, sigma: np.exp(mu + sigma * _normal(u)),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Distribution:
    """Positive numbers by chance: `3`, `uniform(1,5)`, `exponential(2)` or `lognormal(1.0,0.5)`.

    lognormal(mu,sigma): e to the power of a normal number, so its median is e^mu; exponential(mean).
    Raises `BadInput` for parameters that do not fit, or that give values over 1e9.
    """

    kind: str
    parameters: tuple[float, ...]

    def __post_init__(self) -> None:
        kind = KINDS[self.kind]
        if len(self.parameters) != kind.count or not kind.fits(*self.parameters):
            raise BadInput(f"{self} cannot be drawn from: give {kind.form}")
        with np.errstate(over="ignore"):
            largest = float(self.at(EXTREME))
        if not largest <= LARGEST:
            raise BadInput(f"{self} goes up to {largest:.3g}, {LARGEST:g} is allowed: choose smaller parameters")

    @classmethod
    def parse(cls, text: str) -> Self:
        named = re.fullmatch(r"(\w+)\s*\(([^()]*)\)", text.strip())
        name, inside = named.groups() if named else ("constant", text)
        try:
            parameters = tuple(float(number) for number in split_entries(inside))
        except ValueError:
            parameters = (math.nan,)
        if name not in KINDS or not all(map(math.isfinite, parameters)):
            forms = "; ".join(kind.form for kind in KINDS.values())
            raise BadInput(f"{text!r} is no distribution: give one of {forms}")
        return cls(name, parameters)

    def at(self, u: np.ndarray) -> np.ndarray:
        """Its values, float64 (...), from uniform numbers in [0, 1), (..., DRAWS)."""
        return KINDS[self.kind].values(u, *self.parameters)

    def __str__(self) -> str:
        inside = ",".join(f"{number:g}" for number in self.parameters)
        return inside if self.kind == "constant" else f"{self.kind}({inside})"


@dataclass(frozen=True, eq=False)
class Closing:
    """The end of a round: when it is, in simulated seconds, and whose updates are in by then: bool (K,)."""

    seconds: float
    counted: np.ndarray


def close(arrivals: np.ndarray, wanted: int, deadline: float = math.inf) -> Closing:
    """The rule by which an aggregator closes a round that `wanted` updates are enough for.

    arrivals: when each client's update would arrive, (K,) in order of the clients, infinity for one that never does.

    The round closes with update number `wanted`, or at the deadline. Without a deadline the aggregator is taken to
    notice whoever vanished, and closes with the last update that comes.
    """
    order = np.argsort(arrivals, kind="stable")
    on_time = np.isfinite(arrivals) & (arrivals <= deadline)
    first = order[on_time[order]][:wanted]
    counted = np.zeros(len(arrivals), bool)
    counted[first] = True
    last = float(arrivals[first[-1]]) if len(first) else 0.0
    complete = len(first) == wanted or math.isinf(deadline)
    return Closing(last if complete else deadline, counted)
