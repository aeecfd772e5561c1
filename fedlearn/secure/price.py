"""The time that hiding costs, known before a run begins: counted in powers, one of which is taken here and now."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from functools import cache

from gmpy2 import mpz

from fedlearn.crypto.modexp import powers


@dataclass(frozen=True)
class Price:
    """Seconds on this machine, roughly. client: to hide one update. opening: until its openers have opened a sum."""

    client: float = 0.0
    opening: float = 0.0


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def power_seconds(bits: int, exponent_bits: int) -> float:
    """Seconds of one power modulo a number of `bits` bits, the quicker of two."""
    modulus, base = mpz(secrets.randbits(bits)) | 1 | 1 << (bits - 1), mpz(secrets.randbits(bits - 1))
    exponent = mpz(secrets.randbits(exponent_bits)) | 1 << (exponent_bits - 1)
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        powers([base], exponent, modulus)
        taken.append(time.perf_counter() - began)
    return min(taken)
