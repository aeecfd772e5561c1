"""The cost of a key's table: the first call of `public.encrypt`, the second, the best table, and the floor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fedlearn.crypto import FixedPoint, PublicKey, generate_keypair
from fedlearn.crypto.fixedbase import TableShape, product
from fedlearn.crypto.keys import Randomiser
from fedlearn.crypto.packing import LanePacking
from fedlearn.crypto.randomisers import DjnRandomiser

LARGE, VERY_LARGE = 100_000, 1_000_000  # values of one vector
ENOUGH = 10**6  # ciphertexts, for which the best table within the memory limit pays
SHARES = {"first_call": "best_table", "second_call": "best_table", "best_table": "floor"}  # what each is a share of
KEYS = 2  # of each the first call is made once


def table_rates(key_bits: int, codec: FixedPoint) -> dict[str, float]:
    """Values a second of processor time, of vectors encrypted to keys that were not met before."""
    rng = np.random.default_rng(0)
    values = {size: codec.encode(rng.uniform(-1, 1, size)) for size in (LARGE, VERY_LARGE)}
    publics = [generate_keypair(key_bits)[0] for _ in range(KEYS)]
    first, second = (min(_encrypt(public, values[LARGE], codec) for public in publics) for _ in range(2))
    fresh = generate_keypair(key_bits)[0]
    very_large = _encrypt(fresh, values[VERY_LARGE], codec)
    best = DjnRandomiser(fresh, ENOUGH)
    best_seconds = min(_encrypt(fresh, values[LARGE], codec, best) for _ in range(3))
    return {
        "first_call": LARGE / first,
        "second_call": LARGE / second,
        "first_call_of_a_million": VERY_LARGE / very_large,
        "best_table": LARGE / best_seconds,
        "floor": LARGE / (LanePacking(codec.lane_bits, fresh.modulus).plaintexts(LARGE) * _floor(fresh, best.shape)),
    }


def _encrypt(public: PublicKey, values: np.ndarray, codec: FixedPoint, randomiser: Randomiser | None = None) -> float:
    return _seconds(lambda: public.encrypt(values, codec, randomiser))


def _floor(public: PublicKey, shape: TableShape) -> float:
    """Seconds of the multiplications modulo n^2 that one random power takes by a table, and of nothing else."""
    n = public.modulus
    one, other = (n // 3, n // 5), (n // 7, n // 11)

    def multiply() -> None:
        for _ in range(1000):
            product(one, other, n)

    return shape.multiplications * min(_seconds(multiply) for _ in range(20)) / 1000


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
