"""Reproducible randomness: one stream for each (seed, purpose, round, client), never a global one.

A stream depends on what it is for and not on who draws first, so the same seed gives the same model bit
for bit whatever the pool, the number of workers or the order in which clients finish. Nothing secret is
ever drawn from here: keys, masks and randomisers come from `secrets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property

import numpy as np

from fedlearn.configured import whole_number

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
    "faults": 8,
    "groups": 9,
    "robust": 10,
    "flower": 11,
    "mask": 12,
    "rounding": 13,
    "survey": 14,
}


def stream(seed: int, purpose: str, round: int = 0, client: int = 0) -> np.random.Generator:
    """A generator for one purpose (a key of `PURPOSES`), round and client of a seeded run."""
    seed = whole_number("seed", seed, least=0)
    key = (PURPOSES[purpose], whole_number("round", round, least=0), whole_number("client", client, least=0))
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def uniforms(seed: int, purpose: str, round: int, clients: Sequence[int], each: int) -> np.ndarray:
    """Numbers in [0, 1) for clients in one round, float64 (K, each). A client's do not depend on the others.

    Uses the same hash as `LocalRandom`: a table for all clients costs as much as one NumPy generator.
    """
    keys = _client_keys(seed, purpose, round, clients)
    return (_mix(keys[:, None] + _counter(np.arange(each, dtype=np.uint64))) >> np.uint64(11)) * 2.0**-53


def _client_keys(seed: int, purpose: str, round: int, clients: Sequence[int]) -> np.ndarray:
    root = np.random.SeedSequence(seed, spawn_key=(PURPOSES[purpose], round)).generate_state(1, np.uint64)
    return _mix(root + _counter(np.asarray(clients, np.uint64)))


LARGEST_TABLE = 1 << 16  # positions that are shuffled at once for clients that train one after the other


class LocalRandom:
    """The shuffles of clients that train in one round. A client's do not depend on the others.

    One table of all clients' shuffles of 20 examples costs about 1 us per client; a generator per client costs 20 us.
    The number for (seed, round, client, which permutation, position) is SplitMix64's mixing function (Steele,
    Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators", figure 14) of a counter whose start is
    the mixed hash of all the others; sorting a client's numbers gives its permutation.
    """

    def __init__(self, seed: int, round: int, clients: Sequence[int]):
        self._round = (seed, round)
        self._clients: Sequence[int] | np.ndarray = clients
        self._keys = _client_keys(seed, "local", round, clients)
        self._tables: dict[tuple[int, int], np.ndarray] = {}
        self._drawn = 0

    def among(self, places: np.ndarray | slice) -> LocalRandom:
        """The shuffles of the clients that stand at these places, from the first on."""
        some = copy(self)
        some._clients, some._keys = np.asarray(self._clients)[places], self._keys[places]
        some._tables, some._drawn = {}, 0
        return some

    def permutation(self, n: int) -> np.ndarray:
        """Every client's next permutation of range(n), int64 (K, n)."""
        self._drawn += 1
        return _shuffled(self._keys, self._drawn, n)

    def row(self, row: int, which: int, n: int) -> np.ndarray:
        """One client's permutation number `which`, counted from 1, if it is one of range(n): int64 (n,)."""
        if len(self._keys) * n > LARGEST_TABLE:
            orders, row = _shuffled(self._keys[row : row + 1], which, n), 0
        else:
            if (which, n) not in self._tables:
                self._tables[which, n] = _shuffled(self._keys, which, n)
            orders = self._tables[which, n]
        order: np.ndarray = orders[row]
        return order

    def __iter__(self) -> Iterator[ClientRandom]:
        """Each client's own, in order."""
        seed, round = self._round
        return (ClientRandom(self, row, seed, round, int(client)) for row, client in enumerate(self._clients))


class ClientRandom:
    """The shuffles of one client in one round."""

    def __init__(self, among: LocalRandom, row: int, seed: int, round: int, client: int):
        self._among = among
        self._row = row
        self._whose = (seed, "local", round, client)
        self._drawn = 0

    def permutation(self, n: int) -> np.ndarray:
        """Its next permutation of range(n), int64 (n,)."""
        self._drawn += 1
        return self._among.row(self._row, self._drawn, n)

    @cached_property
    def generator(self) -> np.random.Generator:
        """For whatever else is drawn in training, as by dropout: a stream of its own."""
        return stream(*self._whose)


def local_random(seed: int, round: int, client: int) -> ClientRandom:
    """The shuffles of one client in one round of a seeded run."""
    return next(iter(LocalRandom(seed, round, [client])))


def _shuffled(keys: np.ndarray, which: int, n: int) -> np.ndarray:
    positions = np.arange(n, dtype=np.uint64)
    numbers = _mix(_mix(keys + _counter(np.uint64(which)))[:, None] + _counter(positions))
    # The low bits give way to the position, which is then read off the sorted numbers.
    low = np.uint64((1 << max(n - 1, 0).bit_length()) - 1)
    numbers &= ~low
    numbers |= positions
    numbers.sort(axis=-1)
    numbers &= low
    return numbers.view(np.int64)


def _counter(steps: np.ndarray | np.uint64) -> np.ndarray:
    """The distance that so many steps move SplitMix64's counter, modulo 2^64."""
    return np.multiply(np.atleast_1d(steps) + np.uint64(1), np.uint64(0x9E3779B97F4A7C15))


def _mix(z: np.ndarray) -> np.ndarray:
    z = z ^ (z >> np.uint64(30))
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z
