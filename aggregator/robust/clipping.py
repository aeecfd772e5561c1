"""Rules that make far vectors shorter, and then take the mean.

Karimireddy, He and Jaggi 2021, "Learning from History for Byzantine Robust Optimization" (centred clipping); Sun,
Kairouz, Suresh and McMahan 2019, "Can You Really Backdoor Federated Learning?" (norm clipping).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aggregator.robust.base import Beside, Combined, Rule, minority
from aggregator.robust.points import Points
from fedlearn.configured import make_real, make_whole


@dataclass(frozen=True)
class NormClip(Rule):
    """The mean of the vectors, each scaled down to `bound` where it is longer; scores are norms.

    bound: None takes the median of the norms. A malicious vector still counts, with no more than that length.
    """

    bound: float | None = None

    name: ClassVar[str] = "normclip"

    def __post_init__(self) -> None:
        if self.bound is not None:
            make_real(self, "bound", above=0, usual="the norm of an honest update")

    def most(self, n: int) -> int:
        return minority(n)

    def combine(self, points: Points, beside: Beside) -> Combined:
        bound = float(np.median(points.norms)) if self.bound is None else self.bound
        return Combined(points.weighted(shrunk(points.norms, bound) / len(points)), scores=points.norms)


@dataclass(frozen=True)
class Centred(Rule):
    """The previous round's result, moved by the mean of the vectors' differences from it, each of at most `radius`.

    radius: None takes the median of the distances. steps: how often that is done in a round. scores are the distances
    from the result. The first round starts at zero, as an update of an untrained model would.
    """

    radius: float | None = None
    steps: int = 3

    name: ClassVar[str] = "centred"
    remembers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        make_whole(self, "steps", 1, 10_000)
        if self.radius is not None:
            make_real(self, "radius", above=0, usual="the distance between two honest updates")

    def most(self, n: int) -> int:
        return minority(n)

    def combine(self, points: Points, beside: Beside) -> Combined:
        centre, distances = beside.previous, points.distances_from(beside.previous)
        for _ in range(self.steps):
            radius = float(np.median(distances)) if self.radius is None else self.radius
            moved = shrunk(distances, radius) / len(points)
            kept = 0 if centre is None else np.float32(1 - moved.sum()) * centre
            centre = points.weighted(moved) + kept
            distances = points.distances_from(centre)
        assert centre is not None
        return Combined(centre, scores=distances)


def shrunk(lengths: np.ndarray, bound: float) -> np.ndarray:
    """The factors that bring lengths (n,) down to a bound: 1 for those within it."""
    factors: np.ndarray = np.divide(bound, lengths, out=np.ones_like(lengths), where=lengths > bound)
    return factors
