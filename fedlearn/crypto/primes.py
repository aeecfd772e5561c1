"""Secret primes: uniform candidates from `secrets`, accepted by GMP's primality test."""

from __future__ import annotations

import secrets
from functools import cache

import gmpy2
import numpy as np
from gmpy2 import mpz

# GMP runs Baillie-PSW and then (rounds - 24) Miller-Rabin rounds: forty of them here.
PRIMALITY_ROUNDS = 64
_SIEVE_LIMIT = 1 << 19  # of the primes that candidates are divided by
_INTERVAL = 1 << 20  # candidates that are sieved at once


def is_prime(n: int | mpz) -> bool:
    """True if `n` passes Baillie-PSW and forty rounds of Miller-Rabin."""
    return bool(gmpy2.is_prime(mpz(n), PRIMALITY_ROUNDS))


def blum_prime(bits: int) -> mpz:
    """A secret prime of exactly `bits` bits, p = 3 (mod 4), drawn uniformly among those whose two top bits are set.

    Candidates are drawn afresh each time: stepping on to the next prime would favour primes after long gaps.
    The two top bits make the product of an a-bit and a b-bit prime exactly a + b bits long.
    """
    fixed = (mpz(3) << (bits - 2)) | 3
    while True:
        candidate = mpz(secrets.randbits(bits)) | fixed
        if is_prime(candidate):
            return candidate


def safe_prime(bits: int) -> mpz:
    """A secret prime p of exactly `bits` bits, at least 40, with (p - 1) / 2 prime and the two top bits set.

    Survivors of a sieve over a random interval are tested in random order, a fresh interval following if none is
    found, so that long gaps between primes are not favoured.
    """
    while True:
        start = (mpz(3) << (bits - 3)) | mpz(secrets.randbits(bits - 3))
        if (start + _INTERVAL).bit_length() >= bits:
            continue
        halves = [start + int(offset) for offset in _sieve(start)]
        secrets.SystemRandom().shuffle(halves)
        for half in halves:
            # most candidates fall to one Fermat test, which is cheaper than the full one
            if gmpy2.powmod(2, half - 1, half) == 1 and is_prime(half) and is_prime(2 * half + 1):
                return 2 * half + 1


def _sieve(start: mpz) -> np.ndarray:
    """Offsets x below `_INTERVAL` for which neither start + x nor 2 (start + x) + 1 has a small factor."""
    small = _small_primes()
    residues = np.zeros(len(small), dtype=np.int64)
    for word in np.frombuffer(start.to_bytes(-(-start.bit_length() // 32) * 4, "big"), dtype=">u4"):
        residues = ((residues << 32) + int(word)) % small
    alive = np.ones(_INTERVAL, dtype=bool)
    for prime, residue in zip(small.tolist(), residues.tolist(), strict=True):
        alive[-residue % prime :: prime] = False
        alive[((prime - 1) // 2 - residue) % prime :: prime] = False
    return np.flatnonzero(alive)


@cache
def _small_primes() -> np.ndarray:
    """2 and the odd primes below `_SIEVE_LIMIT`; for 2, only the factor of the first number is ever met."""
    alive = np.ones(_SIEVE_LIMIT, dtype=bool)
    alive[:2] = False
    for number in range(2, int(_SIEVE_LIMIT**0.5) + 1):
        if alive[number]:
            alive[number * number :: number] = False
    return np.flatnonzero(alive)
