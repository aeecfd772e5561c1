"""Checks that every sampler must pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.wording import many


def check_sampler(sampler: Any, population: int = 30, size: int = 6) -> None:
    """Raise `AssertionError` unless `sampler` draws cohorts as a run needs them.

    A cohort follows from seed and round alone, is in rising order without repeats, and never larger than `limit`.
    """
    sampler.check(population, size)
    limit = sampler.limit(size)
    assert limit >= size, f"limit({size}) is {limit}: it must be at least the size"
    rounds = {}
    for round in range(1, 21):
        np.random.seed(round)  # noqa: NPY002 - a sampler that draws from the global state is found out
        rounds[round] = cohort = sampler.sample(7, round, population, size)
        np.random.seed(0)  # noqa: NPY002
        assert sampler.sample(7, round, population, size) == cohort, (
            f"round {round} has another cohort when it is asked for again: draw from the seed and the round only"
        )
        assert all(isinstance(client, int) for client in cohort), f"cohort {cohort}: give whole numbers of clients"
        assert cohort == sorted(set(cohort)), f"cohort {cohort}: give each client once, in rising order"
        assert not cohort or (cohort[0] >= 0 and cohort[-1] < population), (
            f"cohort {cohort} of {many(population, 'client')}"
        )
        assert len(cohort) <= limit, f"round {round} has {many(len(cohort), 'client')}, limit({size}) is {limit}"
    assert any(rounds.values()), "20 rounds without a client: a sampler must draw some"
