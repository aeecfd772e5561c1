"""The seam of robust rules: many vectors become one, though some of them may say anything.

A rule is one class that holds its settings only; `combine` does the work. Rules compare vectors, so they can only be
used on what the aggregator sees: single updates under protection none, or the means of groups that were opened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from aggregator.robust.points import Points
from fedlearn.checked import as_array
from fedlearn.configured import Named, arguments_of, whole_number
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput, ShapeError
from fedlearn.numerics import one_thread
from fedlearn.sampling import MOST_CLIENTS
from fedlearn.wording import many

NEVER = 1 << 40  # vectors: as good as any number that no rule is ever given


@dataclass(frozen=True, eq=False)
class Beside:
    """Facts that a rule may use beside the vectors.

    random    for rules that draw. previous: what came out the round before, float32 (d,); None in the first
    trusted   an update that the aggregator itself trained on data it trusts, float32 (d,); None where it has none
    """

    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    previous: np.ndarray | None = None
    trusted: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("previous", "trusted"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Points.checked(as_array(name, [getattr(self, name)])).vectors[0])


@dataclass(frozen=True, eq=False)
class Combined:
    """The result of a rule on n vectors.

    vector   float32 (d,)
    chosen   numbers of the vectors that a selecting rule took, rising; None where the rule does not select
    scores   float64 (n,), what it compared them by, the lower the more trusted; None where it gives none
    """

    vector: np.ndarray
    chosen: np.ndarray | None = None
    scores: np.ndarray | None = None


class Malicious(Named, ABC):
    """Whatever is built for f malicious vectors among n.

    f      how many; None: the most it stands at that n
    trusts  needs an update that the aggregator trained itself, on its `data`
    remembers  goes on from what came out the round before
    by_coordinate  makes each coordinate from that coordinate alone, so that vectors of several units may stand together
    """

    f: int | None = None
    trusts: ClassVar[bool] = False
    data: ClassVar[Any] = None
    remembers: ClassVar[bool] = False
    by_coordinate: ClassVar[bool] = False

    @abstractmethod
    def most(self, n: int) -> int:
        """The most malicious vectors among n that it stands; below 0 where n are too few for it at all."""

    def malicious(self, n: int) -> int:
        """f, or the most it stands; raises `BadInput` where it does not stand that many of n vectors."""
        most = self.most(n)
        if most < 0 or (self.f is not None and self.f > most):
            least = self.takes(self.f or 0, n)
            lower = f", or lower f to {most}" if most >= 0 else ""
            raise BadInput(
                f"{self} does not stand f={self.f or 0} of {many(n, 'vector')}: it takes {least} or more{lower}"
            )
        return most if self.f is None else self.f

    def takes(self, f: int, n: int = 1) -> int:
        """The fewest vectors, n or more, of which it stands f."""
        return n + bisect_left(range(n, NEVER), f, key=self.most)

    def __str__(self) -> str:
        """As it is written for --robust."""
        said = {name: value for name, value in arguments_of(self).items() if value is not None and name != "data"}
        settings = ",".join(f"{name}={value}" for name, value in said.items())
        return f"{self.name}:{settings}" if settings else self.name


@dataclass(frozen=True)
class OfAMinority(Malicious):
    """Whatever takes an f, and stands any minority of malicious vectors."""

    f: int | None = None

    def __post_init__(self) -> None:
        check_f(self)

    def most(self, n: int) -> int:
        return minority(n)


class Rule(Malicious):
    """One way to combine vectors. A new one defines `most` and `combine`; its settings are a dataclass's fields."""

    def __call__(self, vectors: np.ndarray, beside: Beside | None = None) -> Combined:
        """Combine vectors, float32 (n, d), with one thread of BLAS; raises `BadInput` where n are too few."""
        beside = beside or Beside()
        with one_thread():
            points = Points.checked(vectors)
            self._check_lengths(points, beside)
            return self.combine(points, beside)

    @staticmethod
    def _check_lengths(points: Points, beside: Beside) -> None:
        for name in ("previous", "trusted"):
            vector = getattr(beside, name)
            if vector is not None and np.shape(vector) != points.shape[1:]:
                raise ShapeError(f"the {name} vector is {np.shape(vector)}, the vectors are {points.shape}")

    @abstractmethod
    def combine(self, points: Points, beside: Beside) -> Combined:
        """The vectors as one."""

    def trusting(self, data: Examples) -> Self:
        """The same rule with examples that the aggregator trusts; itself where it needs none, or has its own."""
        return self


class Before(Malicious):
    """A step on vectors before a rule combines them. A new one defines `most` and `apply`."""

    def left(self, n: int) -> int:
        """How many vectors n become."""
        return n

    @abstractmethod
    def apply(self, points: Points, beside: Beside) -> Points:
        """The vectors that the rule is given."""


def check_f(thing: Malicious) -> None:
    """Raise `BadInput` for an f that is no whole number, below 0 or more than there may be clients."""
    if thing.f is not None:
        object.__setattr__(thing, "f", whole_number(f"{thing.name} f", thing.f, 0, MOST_CLIENTS))


def minority(n: int) -> int:
    """The most that are fewer than half of n."""
    return (n - 1) // 2
