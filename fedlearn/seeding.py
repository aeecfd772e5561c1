"""Reproducible randomness: one stream for each (seed, purpose, round, client), never a global one.

A stream depends on what it is for and not on who draws first, so the same seed gives the same model bit
for bit whatever the pool, the number of workers or the order in which clients finish. Nothing secret is
ever drawn from here: keys, masks and randomisers come from `secrets`.
"""

from __future__ import annotations

import numpy as np

# A purpose's number is part of every run's randomness: append, never renumber.
PURPOSES = {
    "sample": 0,
    "split": 1,
    "partition": 2,
    "model": 3,
    "cohort": 4,
    "local": 5,
    "scenario": 6,
    "attack": 7,
}


def stream(seed: int, purpose: str, round: int = 0, client: int = 0) -> np.random.Generator:
    """A generator for one purpose (a key of `PURPOSES`), round and client of a seeded run."""
    key = (PURPOSES[purpose], round, client)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))
