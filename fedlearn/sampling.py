"""Which clients take part in a round: what a sampler is, and those that anybody can check.

Whom a sampler draws follows from the run's seed and the round alone. All of them work on arrays of clients, so that
a hundred out of a hundred thousand are drawn in milliseconds. The plan names a public one: `not_drawn` is who it
does not draw.
"""

from __future__ import annotations

import hmac
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np

from fedlearn.checked import takes_plain
from fedlearn.configured import Named, arguments_of, whole_number
from fedlearn.errors import BadInput
from fedlearn.protocol import RunPlan
from fedlearn.seeding import stream
from fedlearn.travel import description, rebuilt
from fedlearn.wording import many

MOST_CLIENTS = 10**7
RARE = 1e-12  # chance in a round that more clients are drawn than a run is made for


class Sampler(Named, ABC):
    """One way to choose a round's cohort. A new one defines `sample`.

    public: the plan names it with its arguments, so that openers and clients draw each cohort themselves and refuse
    others. Not where its arguments are nobody's business, as weights by clients' numbers of examples are not.
    amplifies: each client is in by a coin of its own, of probability size / population. Where the coins are secret,
    they make what noise protects smaller still (`fedlearn.privacy`).

    One that is built by name from more than its own parameters has a class method `from_spec(argument, examples)`:
    argument is what stands after its name, or None; examples says how many each client has, and asks only then.
    """

    public: bool = False
    amplifies: bool = False

    def arguments(self) -> dict[str, Any]:
        """The arguments that construct a public sampler again: plain values."""
        return arguments_of(self)

    @staticmethod
    def limit(size: int) -> int:
        """The most clients that a round can have which is to have `size`."""
        return size

    @staticmethod
    def apart(population: int, size: int) -> int:
        """How many rounds there are at least from one that a client is in to the next: 1 where it may be in each."""
        return 1

    def check(self, population: int, size: int) -> None:
        """Raise `BadInput` if it cannot draw so many clients out of so many."""

    @abstractmethod
    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        """The cohort in rising order; it may be smaller than `size`, and even empty."""


def check_draw(population: int, size: int) -> None:
    """Raise `BadInput` for numbers that nobody can be drawn with."""
    whole_number("population", population, 1, MOST_CLIENTS)
    whole_number("the cohort's size", size, 1, population)


@takes_plain
def check_cohort(cohort: int | None, population: int) -> int:
    """The cohort's size (None: everybody), refused where the population cannot fill it."""
    if population < 1:
        raise BadInput("there are 0 clients, at least 1 is needed: raise the number of clients")
    size = population if cohort is None else cohort
    if not 1 <= size <= population:
        raise BadInput(
            f"a cohort of {size} cannot be sampled from {many(population, 'client')}: choose 1 to {population:,}"
        )
    return size


def sample_cohort(seed: int, round: int, population: int, size: int) -> list[int]:
    """`size` client numbers, uniformly without replacement, in rising order; the same for the same seed."""
    check_draw(population, size)
    if size == population:
        return list(range(population))
    chosen: list[int] = np.sort(stream(seed, "cohort", round).choice(population, size, replace=False)).tolist()
    return chosen


class Uniform(Sampler):
    """`size` clients without replacement, all equally likely."""

    public = True

    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        return sample_cohort(seed, round, population, size)


class Poisson(Sampler):
    """Each client by itself with probability q = size / population: Poisson sampling, as privacy accountants assume.

    So cohorts vary. None is capped or drawn again, which would be another distribution: a round with fewer clients
    than may be opened, or with more than `limit`, is void, whatever the data are.
    """

    public = True
    amplifies = True

    @staticmethod
    def limit(size: int) -> int:
        """Exceeded with probability under `RARE` in a round, by Chernoff's bound.

        The number drawn, X, is binomial with mean `size`, and P(X >= m) <= exp(-(m ln(m / size) - m + size)) for any
        population (Mitzenmacher and Upfal 2005, "Probability and Computing", theorem 4.4).
        """
        return next(m for m in count(size) if (m + 1) * math.log((m + 1) / size) - (m + 1) + size >= -math.log(RARE))

    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        check_draw(population, size)
        return np.flatnonzero(stream(seed, "cohort", round).random(population) < size / population).tolist()


class Rotation(Sampler):
    """Clients take turns, in an order that the seed draws once: each is in exactly one of any b = population / size
    rounds, rounded up. Cohorts have `size` clients, or one less where that does not divide."""

    public = True

    @staticmethod
    def apart(population: int, size: int) -> int:
        return -(-population // size)

    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        turns = self.apart(population, size)
        order = stream(seed, "cohort").permutation(population)
        return np.sort(np.array_split(order, turns)[(round - 1) % turns]).tolist()  # type: ignore[no-any-return]


def described(sampler: Sampler, population: int, size: int, secret: bool = False) -> dict[str, Any]:
    """Sampling as the plan states it: number of clients, cohort size, and the sampler if it is public.

    secret: cohorts follow from secret coins in the place of the run's seed: who does not know these checks none.
    """
    rule = description(sampler) if sampler.public else {}
    if secret:
        return {"population": population, "size": size, "sampler": {}, "secret": rule}
    return {"population": population, "size": size, "sampler": rule}


def round_seed(coins: bytes, round: int) -> int:
    """The seed of one round's cohort, where cohorts follow from secret coins; it tells nothing of other rounds."""
    return int.from_bytes(hmac.digest(coins, f"cohort {round}".encode(), "sha256"), "big")


def not_drawn(plan: RunPlan, round: int, clients: Iterable[int], coins: bytes | None = None) -> list[int]:
    """The given clients that the plan's sampler does not draw in a round; none if the plan names no sampler.

    coins: what secret cohorts follow from, for who is told. Without it nobody can check these, and none is returned.
    Raises `BadInput` for a plan that says something else of sampling than `described` does.
    """
    if coins is not None and plan.sampling.get("secret"):
        return sorted(set(clients) - drawn(plan, round, "secret", round_seed(coins, round)))
    return sorted(set(clients) - drawn(plan, round)) if plan.sampling.get("sampler") else []


@lru_cache(maxsize=4)
def drawn(plan: RunPlan, round: int, rule: str = "sampler", seed: int | None = None) -> frozenset[int]:
    """The round's cohort by the plan's sampler, which it must name; raises `BadInput` as `not_drawn` does.

    rule, seed: of secret cohorts, as the plan calls them, and what they follow from.
    """
    sampling: Mapping[str, Any] = plan.sampling
    population = whole_number("the plan's population", sampling.get("population"), 1, MOST_CLIENTS)
    size = whole_number("the plan's cohort", sampling.get("size"), 1, population)
    return frozenset(
        rebuilt(sampling[rule], Sampler).sample(plan.seed if seed is None else seed, round, population, size)
    )
