"""Rules that look at one coordinate at a time: median, trimmed mean, mean around the median.

Yin, Chen, Ramchandran and Bartlett 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates";
Xie, Koyejo and Gupta 2018, "Generalized Byzantine-tolerant SGD".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar

import numpy as np

from aggregator.robust.base import Beside, Combined, OfAMinority, Rule, minority
from aggregator.robust.points import Points
from fedlearn.extras import numba_works

FEW = 128  # vectors up to which a compiled selection beats a sort
MANY = 1 << 22  # values from which it does: NumPy sorts fewer in 10 ms, and to import numba takes half a second


@dataclass(frozen=True)
class Median(Rule):
    """The median of each coordinate. It needs no f: it stands any minority."""

    by_coordinate: ClassVar[bool] = True

    def most(self, n: int) -> int:
        return minority(n)

    def combine(self, points: Points, beside: Beside) -> Combined:
        n, d = points.shape
        low, high = np.empty((2, d), np.float32)
        if n <= FEW and n * d >= MANY and numba_works():
            selection = import_module("aggregator.robust.selection")
            for columns, block in points.near_blocks():
                selection.middles(block, low[columns], high[columns])
        else:
            for columns, rows in points.sorted_blocks():
                low[columns], high[columns] = rows[:, (n - 1) // 2], rows[:, n // 2]
        middle = low.astype(np.float64)
        middle += high
        middle /= 2
        low[:] = middle
        low += 0  # -0 becomes 0: which of the two a sort puts first is chance
        return Combined(low)


@dataclass(frozen=True)
class Trimmed(OfAMinority, Rule):
    """The mean of each coordinate without its f lowest and its f highest values."""

    by_coordinate: ClassVar[bool] = True

    def combine(self, points: Points, beside: Beside) -> Combined:
        f = self.malicious(len(points))
        return _by_coordinate(points, lambda rows: rows[:, f : len(points) - f].mean(axis=1, dtype=np.float64))


@dataclass(frozen=True)
class Meamed(OfAMinority, Rule):
    """The mean, in each coordinate, of the n - f values nearest to its median; of two windows as near the lower."""

    by_coordinate: ClassVar[bool] = True

    def combine(self, points: Points, beside: Beside) -> Combined:
        kept = len(points) - self.malicious(len(points))
        return _by_coordinate(points, lambda rows: mean_around(rows, medians(rows), kept))


def medians(rows: np.ndarray) -> np.ndarray:
    """Of rows in rising order, (width, n): float64 (width,)."""
    n = rows.shape[1]
    middle: np.ndarray = (rows[:, (n - 1) // 2].astype(np.float64) + rows[:, n // 2]) / 2
    return middle


def mean_around(rows: np.ndarray, centres: np.ndarray, kept: int) -> np.ndarray:
    """The mean of the `kept` values nearest to each row's centre; rows in rising order (width, n): (width,)."""
    n = rows.shape[1]
    below, above = rows[:, : n - kept], rows[:, kept:]
    first = np.count_nonzero(centres[:, None] - below > above - centres[:, None], axis=1)
    sums = np.zeros((len(rows), n + 1))
    np.cumsum(rows, axis=1, dtype=np.float64, out=sums[:, 1:])
    every = np.arange(len(rows))
    means: np.ndarray = (sums[every, first + kept] - sums[every, first]) / kept
    return means


def _by_coordinate(points: Points, of_rows: Callable[[np.ndarray], np.ndarray]) -> Combined:
    vector = np.empty(points.shape[1], np.float32)
    for columns, rows in points.sorted_blocks():
        vector[columns] = of_rows(rows)
    return Combined(vector)
