"""Steps on vectors before a rule sees them: mixing with neighbours, bucketing, adaptive clipping.

Allouah, Farhadkhani, Guerraoui, Gupta, Pinot and Stephan 2023, "Fixing by Mixing: A Recipe for Optimal Byzantine ML
under Heterogeneity" (NNM); Karimireddy, He and Jaggi 2022, "Byzantine-Robust Learning on Heterogeneous Datasets via
Bucketing"; Allouah et al. 2025, "Adaptive Gradient Clipping for Robust Federated Learning" (ARC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aggregator.robust.base import Before, Beside, OfAMinority, minority
from aggregator.robust.clipping import shrunk
from aggregator.robust.points import Points
from fedlearn.configured import make_whole


@dataclass(frozen=True)
class NNM(OfAMinority, Before):
    """Each vector becomes the mean of the n - f nearest to it, itself among them: nearest neighbour mixing."""

    def apply(self, points: Points, beside: Beside) -> Points:
        kept = len(points) - self.malicious(len(points))
        nearest = np.argsort(points.squared_distances, axis=1, kind="stable")[:, :kept]
        weights = np.zeros((len(points), len(points)))
        np.put_along_axis(weights, nearest, 1 / kept, axis=1)
        return points.mixed(weights)


@dataclass(frozen=True)
class Bucketing(Before):
    """Means of `size` vectors each, cut in an order that is drawn; the last bucket may hold fewer.

    A malicious vector spoils one bucket: those malicious among n vectors are as many among n / size buckets.
    """

    size: int = 2

    by_coordinate: ClassVar[bool] = True

    def __post_init__(self) -> None:
        make_whole(self, "size", 1)

    def most(self, n: int) -> int:
        return minority(n)

    def left(self, n: int) -> int:
        return -(-n // self.size)

    def apply(self, points: Points, beside: Beside) -> Points:
        order = beside.random.permutation(len(points))
        weights = np.zeros((self.left(len(points)), len(points)))
        for row, begin in zip(weights, range(0, len(points), self.size), strict=True):
            bucket = order[begin : begin + self.size]
            row[bucket] = 1 / len(bucket)
        return points.mixed(weights)


@dataclass(frozen=True)
class ARC(OfAMinority, Before):
    """The floor(2 (f / n) (n - f)) longest vectors are scaled down to the length of the longest of the others."""

    def apply(self, points: Points, beside: Beside) -> Points:
        n, f = len(points), self.malicious(len(points))
        longest = 2 * f * (n - f) // n
        bound = float(np.sort(points.norms)[n - longest - 1])
        clipped, factors = points.vectors.copy(), shrunk(points.norms, bound).astype(np.float32)
        for row in np.flatnonzero(factors < 1):
            clipped[row] *= factors[row]
        return Points(clipped)
