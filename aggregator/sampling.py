"""Which clients take part in a round: samplers, one class each; `SAMPLERS` is where they are named.

Whom a sampler draws follows from the run's seed and the round alone. All of them work on arrays of clients, so that
a hundred out of a hundred thousand are drawn in milliseconds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.registry import Registry
from fedlearn.seeding import stream

RARE = 1e-12  # chance in a round that more clients are drawn than a run is made for
Counts = Callable[[], Sequence[float]]

SAMPLERS = Registry(
    "sampler",
    {
        "uniform": ("aggregator.sampling:Uniform", "as many as --cohort says, all equally likely"),
        "poisson": ("aggregator.sampling:Poisson", "each client by itself with probability cohort / clients"),
        "weighted": ("aggregator.sampling:Weighted", "by numbers of examples, or the weights in weighted:FILE"),
        "availability": ("aggregator.availability:Availability", "of those awake, by the trace in a FILE or diurnal=N"),
    },
)


class Sampler(ABC):
    """One way to choose a round's cohort. A new one defines `sample`.

    One that is built by name from more than its own parameters has a class method `from_spec(argument, examples)`:
    argument is what stands after its name, or None; examples says how many each client has, and asks only then.
    """

    @staticmethod
    def limit(size: int) -> int:
        """The most clients that a round can have which is to have `size`."""
        return size

    def check(self, population: int, size: int) -> None:  # noqa: B027 - most can draw any
        """Raise `BadInput` if it cannot draw so many clients out of so many."""

    @abstractmethod
    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        """The cohort in rising order; it may be smaller than `size`, and even empty."""


def check_cohort(cohort: int | None, population: int) -> int:
    """The cohort's size (None: everybody), refused where the population cannot fill it."""
    if population < 1:
        raise BadInput("there are 0 clients, at least 1 is needed: raise the number of clients")
    size = population if cohort is None else cohort
    if not 1 <= size <= population:
        raise BadInput(f"a cohort of {size} cannot be sampled from {population} clients: choose 1 to {population}")
    return size


def sample_cohort(seed: int, round: int, population: int, size: int) -> list[int]:
    """`size` client numbers, uniformly without replacement, in rising order; the same for the same seed."""
    if size == population:
        return list(range(population))
    chosen: list[int] = np.sort(stream(seed, "cohort", round).choice(population, size, replace=False)).tolist()
    return chosen


class Uniform(Sampler):
    """`size` clients without replacement, all equally likely."""

    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        return sample_cohort(seed, round, population, size)


class Poisson(Sampler):
    """Each client by itself with probability q = size / population: Poisson sampling, as privacy accountants assume.

    So cohorts vary. None is capped or drawn again, which would be another distribution: a round with fewer clients
    than may be opened, or with more than `limit`, is void, whatever the data are.
    """

    @staticmethod
    def limit(size: int) -> int:
        """Exceeded with probability under `RARE` in a round, by Chernoff's bound.

        The number drawn, X, is binomial with mean `size`, and P(X >= m) <= exp(-(m ln(m / size) - m + size)) for any
        population (Mitzenmacher and Upfal 2005, "Probability and Computing", theorem 4.4).
        """
        return next(m for m in count(size) if (m + 1) * math.log((m + 1) / size) - (m + 1) + size >= -math.log(RARE))

    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        return np.flatnonzero(stream(seed, "cohort", round).random(population) < size / population).tolist()


class Weighted(Sampler):
    """`size` clients without replacement, drawn one after the other in proportion to their weights.

    By Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir": those whose exponential numbers
    divided by weights are smallest. Where the strategy's mean weighs clients by examples it does so here too, and
    clients with many then count twice over.
    """

    def __init__(self, weights: Sequence[float]):
        """weights: by client, 0 for one that is never drawn. Raises `BadInput` for one below 0 or not finite."""
        self._weights = np.asarray(weights, np.float64)
        bad = np.flatnonzero(~(np.isfinite(self._weights) & (self._weights >= 0)))
        if bad.size:
            raise BadInput(f"client {bad[0]} has weight {self._weights[bad[0]]:g}: it must be finite, and 0 or more")

    @classmethod
    def from_spec(cls, argument: str | None, examples: Counts) -> Weighted:
        """argument: a file with one weight a line, client by client; by default the numbers of examples."""
        if argument is None:
            return cls(examples())
        weights = []
        for number, line in lines_of(argument):
            try:
                weights.append(float(line))
            except ValueError:
                raise BadInput(f"{argument}, line {number}: {line!r} is no weight, give one number a line") from None
        return cls(weights)

    def check(self, population: int, size: int) -> None:
        if len(self._weights) != population:
            raise BadInput(f"there are {len(self._weights)} weights for {population} clients: give one for each")
        drawable = np.count_nonzero(self._weights)
        if size > drawable:
            raise BadInput(f"a cohort of {size} needs as many clients with a weight above 0, there are {drawable}")

    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        with np.errstate(divide="ignore"):
            arrivals = stream(seed, "cohort", round).standard_exponential(population) / self._weights
        chosen: list[int] = np.sort(np.argpartition(arrivals, size - 1)[:size]).tolist()
        return chosen


def lines_of(path: str) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers; raises `BadInput` where it cannot be read."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}; give a text file") from None
    return ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip())
