"""Rules that take the vectors whose neighbours are nearest: Krum, Multi-Krum, Bulyan.

Blanchard, El Mhamdi, Guerraoui and Stainer 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient
Descent"; El Mhamdi, Guerraoui and Rouault 2018, "The Hidden Vulnerability of Distributed Learning in Byzantium".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from aggregator.robust.base import Beside, Combined, Rule, check_f, minority
from aggregator.robust.coordinates import mean_around, medians
from aggregator.robust.points import Points
from fedlearn.configured import make_plain

Neighbours = Literal["n-f-2", "n-f-1"]


@dataclass(frozen=True)
class Krum(Rule):
    """The one vector whose squared distances to its nearest neighbours have the smallest sum.

    neighbours: how many count, n-f-2 as in the paper, or n-f-1 as some libraries have it.
    """

    f: int | None = None
    neighbours: Neighbours = "n-f-2"

    def __post_init__(self) -> None:
        check_f(self)
        make_plain(self)

    def most(self, n: int) -> int:
        return (n - 3) // 2 if self.neighbours == "n-f-2" else minority(n)

    def combine(self, points: Points, beside: Beside) -> Combined:
        f = self.malicious(len(points))
        scores = krum_scores(points.squared_distances, len(points) - f - (2 if self.neighbours == "n-f-2" else 1))
        chosen = np.sort(np.argsort(scores, kind="stable")[: self._taken(len(points), f)])
        return Combined(points.mean(chosen), chosen, scores)

    def _taken(self, n: int, f: int) -> int:
        return 1


@dataclass(frozen=True)
class MultiKrum(Krum):
    """The mean of the n - f vectors whose sums of squared distances, as in Krum, are smallest."""

    def _taken(self, n: int, f: int) -> int:
        return n - f


@dataclass(frozen=True)
class Bulyan(Rule):
    """Krum chooses n - 2f vectors one after the other; of these, each coordinate's n - 4f values round its median.

    chosen are the n - 2f. It takes n >= 4f + 3.
    """

    f: int | None = None

    def __post_init__(self) -> None:
        check_f(self)

    def most(self, n: int) -> int:
        return (n - 3) // 4

    def combine(self, points: Points, beside: Beside) -> Combined:
        f = self.malicious(len(points))
        chosen = np.sort(_one_after_the_other(points.squared_distances, f, len(points) - 2 * f))
        kept = Points(points.vectors[chosen])
        vector = np.empty(points.shape[1], np.float32)
        for columns, rows in kept.sorted_blocks():
            vector[columns] = mean_around(rows, medians(rows), len(points) - 4 * f)
        return Combined(vector, chosen)


def krum_scores(squared: np.ndarray, neighbours: int) -> np.ndarray:
    """Each vector's sum of squared distances to so many nearest others, from those between all (n, n): (n,)."""
    scores: np.ndarray = np.sort(squared, axis=1)[:, 1 : neighbours + 1].sum(axis=1)  # column 0: itself
    return scores


def _one_after_the_other(squared: np.ndarray, f: int, count: int) -> np.ndarray:
    """Krum's choice again and again, each time among those left. Where few are left at least one neighbour counts."""
    left = np.arange(len(squared))
    chosen = []
    for _ in range(count):
        scores = krum_scores(squared[np.ix_(left, left)], max(1, len(left) - f - 2))
        best = int(scores.argmin())
        chosen.append(left[best])
        left = np.delete(left, best)
    return np.array(chosen)
