"""Which clients take part in a round."""

from __future__ import annotations

from fedlearn.errors import BadInput
from fedlearn.seeding import stream


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
    chosen = stream(seed, "cohort", round).choice(population, size, replace=False)
    return sorted(int(client) for client in chosen)
