"""The participation in a run, as far as privacy asks: how many take part, by whose coins, what a round is charged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aggregator.faults import Faults
from fedlearn.defaults import MIN_COHORT
from fedlearn.errors import PrivacyError
from fedlearn.privacy import Privacy, Release
from fedlearn.privacy.terms import FEWEST_FULL
from fedlearn.sampling import RARE, Sampler
from fedlearn.secure.base import Protection
from fedlearn.wording import many


@dataclass(frozen=True)
class Cohorts:
    """The participation in a run, as far as privacy asks.

    size: the expected one. least: the fewest clients in a sum that is opened. amplified: whether sampling may be
    counted on. sampler, sampled: draw a cohort. example_rate: the chance of each example to be drawn, by its client's
    own coins; 1 where whole clients are protected. groups: how many a cohort is cut into, each with a sum and noise of
    its own; a client is in one of them, so that all sums of a round cost what one does (parallel composition, McSherry
    2009). expected: clients, or examples, in one sum. surveys: rounds that open a second sum of the same clients.
    """

    population: int
    size: int
    rounds: int
    least: int
    amplified: bool
    sampler: Sampler
    sampled: int
    example_rate: float
    groups: int
    expected: float
    surveys: int = 0

    @property
    def rate(self) -> float:
        """The charge of each round."""
        return self.size / self.population if self.amplified else self.example_rate

    def told(self, rounds: int) -> float:
        """The part of delta that goes to what so many rounds tell about a client's coin by being void.

        A round of as many others as are one too few is opened if the client is in it, and is void if not.
        """
        if not self.amplified:
            return 0.0
        from scipy.stats import binom  # half a second, which runs without noise do not wait for

        edge = float(binom.pmf(self.least - 1, self.population - 1, self.rate))
        return (rounds + min(rounds, self.surveys)) * (RARE + self.rate * edge)

    def releases(self, noise: float, count: int) -> list[Release]:
        """The charges of so many rounds with this noise; two sums with the same coins are one with less noise."""
        twice = min(count, self.surveys)
        kinds = ((noise, count - twice), (noise / math.sqrt(2), twice))
        return [Release(self.rate, each, number) for each, number in kinds if number]

    @property
    def most_examples(self) -> int:
        """Twice as many examples as a client is expected to draw, which fill a lane of its vector."""
        return max(FEWEST_FULL, math.ceil(2 * self.expected * self.groups / self.size))

    def most(self, seed: int) -> int:
        """The most rounds that one client takes part in, where cohorts are public."""
        if self.size == self.population:
            return self.rounds
        counts = np.zeros(self.population, np.int64)
        for round in range(1, self.rounds + 1):
            counts[self.sampler.sample(seed, round, self.population, self.sampled)] += 1
        return int(counts.max())


def cohorts_of(
    asked: Privacy, protection: Protection, sampler: Sampler, faults: Faults | None, population: int, size: int,
    rounds: int, groups: int = 1, surveys: int = 0,
) -> Cohorts:  # fmt: skip
    """The participation in a run of these parts. size: clients in a round's sums, who may be some of those asked.

    Where cohorts are cut into groups, everybody can draw them, and sampling is not counted on.
    """
    sampled = faults.sampled(size, population) if faults else size
    hurried = faults is not None and (faults.over_select > 0 or faults.deadline < math.inf)
    by_clients = asked.where_under(protection.name, protection.adds_noise) == "clients"
    least = max(protection.min_cohort, MIN_COHORT) if by_clients else protection.min_cohort
    if size // groups < least:
        part = "cohort" if groups == 1 else "group"
        raise PrivacyError(
            f"a {part} of {many(size // groups, 'client')} has less noise than {least} of them add: raise the {part}"
        )
    amplified = asked.unit == "client" and sampler.amplifies and size < population and not hurried and groups == 1
    return Cohorts(
        population, size, rounds, least, amplified, sampler, sampled, asked.example_rate, groups,
        expected=asked.units(population) * asked.example_rate * size / population / groups, surveys=surveys,
    )  # fmt: skip
