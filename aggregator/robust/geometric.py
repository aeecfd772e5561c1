"""The geometric median: the point whose distances to all vectors have the smallest sum.

Pillutla, Kakade and Harchaoui 2022, "Robust Aggregation for Federated Learning" (RFA): Weiszfeld's steps, in which a
vector weighs as much as it is near, with distances below a floor taken as the floor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aggregator.robust.base import Beside, Combined, Rule, minority
from aggregator.robust.points import Points
from fedlearn.configured import make_real, make_whole

STILL = 1e-12  # change of a weight at which the steps end


@dataclass(frozen=True)
class Geomed(Rule):
    """Weiszfeld's steps from the mean. It needs no f: it stands any minority.

    steps: at most so many. floor: distances below it count as it. scores are distances from the result.
    """

    steps: int = 32
    floor: float = 1e-6

    def __post_init__(self) -> None:
        make_whole(self, "steps", 1, 10_000)
        make_real(self, "floor", above=0, usual="1e-6")

    def most(self, n: int) -> int:
        return minority(n)

    def combine(self, points: Points, beside: Beside) -> Combined:
        weights = np.full(len(points), 1 / len(points))
        for _ in range(self.steps):
            before = weights
            nearness = 1 / np.maximum(_distances(points.gram, weights), self.floor)
            weights = nearness / nearness.sum()
            if np.abs(weights - before).max() < STILL:
                break
        return Combined(points.weighted(weights), scores=_distances(points.gram, weights))


def _distances(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of each vector from the weighted mean, from the centred inner products; the weights' sum is 1."""
    products = gram @ weights
    squares = np.diagonal(gram) - 2 * products + weights @ products
    distances: np.ndarray = np.sqrt(np.maximum(squares, 0))
    return distances
