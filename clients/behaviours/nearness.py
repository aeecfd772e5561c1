"""Colluders that know that a robust rule compares vectors, and stay as near as honest ones lie to one another.

As in `collusion`, what honest updates are like is estimated from what the colluders themselves would honestly have
sent, and all of them send the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from clients.behaviours.base import Behaviour, Crew, Honest, check_group, with_delta
from clients.behaviours.collusion import for_a_group, honest_deltas
from fedlearn.configured import make_plain
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.strategies.base import LocalUpdate

Direction = Literal["std", "mean", "sign"]


@dataclass(frozen=True, eq=False)
class MinMax(Behaviour):
    """As far from the mean as leaves it no farther from any honest delta than two of these are from each other.

    Shejwalkar and Houmansadr 2021, "Manipulating the Byzantine", their attack without knowledge of the rule. direction:
    against the spread of each coordinate (std), against the mean (mean), or against its signs (sign). Their search for
    the largest factor is a quadratic equation here. group: clients of a group, whose mean is to be that vector.
    """

    colluders: Mapping[int, Examples]
    direction: Direction = "std"
    group: int = 1

    def __post_init__(self) -> None:
        make_plain(self)
        check_group(self.group)

    @classmethod
    def of(cls, crew: Crew, direction: Direction = "std", group: int = 1) -> Self:
        if len(crew.colluders) < 2:
            raise BadInput(f"{cls.__name__} of one client: it takes at least 2 to know how far honest updates lie")
        return cls(crew.colluders, direction, group)

    def update(self, update: LocalUpdate, honest: Honest) -> LocalUpdate:
        deltas = honest_deltas(self.colluders, honest)
        mean, towards = deltas.mean(axis=0), _towards(deltas, self.direction)
        return with_delta(update, for_a_group(mean + self.factor(mean - deltas, towards) * towards, mean, self.group))

    def factor(self, apart: np.ndarray, towards: np.ndarray) -> float:
        """The largest by which `towards` (P,) may be multiplied. apart: the mean minus each honest delta (m, P)."""
        between = apart[:, None] - apart[None, :]
        farthest = np.square(between).sum(axis=-1).max()
        squares, products = np.square(apart).sum(axis=1), apart @ towards
        steepness = towards @ towards
        each = zip(squares, products, strict=True)
        return min(_root(square, product, steepness, farthest) for square, product in each)


@dataclass(frozen=True, eq=False)
class MinSum(MinMax):
    """As `MinMax`, but for the sum of squared distances to all honest deltas: no larger than the largest of theirs."""

    def factor(self, apart: np.ndarray, towards: np.ndarray) -> float:
        between = apart[:, None] - apart[None, :]
        largest = np.square(between).sum(axis=-1).sum(axis=1).max()
        return _root(np.square(apart).sum(), apart.sum(axis=0) @ towards, len(apart) * towards @ towards, largest)


@dataclass(frozen=True, eq=False)
class Mimic(Behaviour):
    """All send the one honest delta, of the colluders', that lies farthest from their mean.

    Karimireddy, He and Jaggi 2022, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing": no vector is
    false, but one client counts many times over, and rules that look for a dense place find it there.
    """

    colluders: Mapping[int, Examples]

    def __post_init__(self) -> None:
        make_plain(self)

    @classmethod
    def of(cls, crew: Crew) -> Self:
        return cls(crew.colluders)

    def update(self, update: LocalUpdate, honest: Honest) -> LocalUpdate:
        deltas = honest_deltas(self.colluders, honest)
        return with_delta(update, deltas[np.square(deltas - deltas.mean(axis=0)).sum(axis=1).argmax()])


def _towards(deltas: np.ndarray, direction: str) -> np.ndarray:
    """The direction to go from the mean, (P,)."""
    mean = deltas.mean(axis=0)
    against: np.ndarray = {"std": deltas.std(axis=0), "sign": np.sign(mean)}.get(direction, mean)
    return -against


def _root(square: float, product: float, steepness: float, limit: float) -> float:
    """The largest g with square + 2 g product + g^2 steepness <= limit; 0 where there is nowhere to go."""
    if steepness == 0:
        return 0.0
    inside = max(0.0, product**2 - steepness * (square - limit))
    return float((np.sqrt(inside) - product) / steepness)
