"""Secret primes: uniform candidates from `secrets`, accepted by GMP's primality test."""

from __future__ import annotations

import secrets

import gmpy2
from gmpy2 import mpz

# GMP runs Baillie-PSW and then (rounds - 24) Miller-Rabin rounds: forty of them here.
PRIMALITY_ROUNDS = 64


def is_prime(n: int | mpz) -> bool:
    """Whether `n` passes Baillie-PSW and forty rounds of Miller-Rabin."""
    return bool(gmpy2.is_prime(mpz(n), PRIMALITY_ROUNDS))


def blum_prime(bits: int) -> mpz:
    """A secret prime of exactly `bits` bits, p = 3 (mod 4), drawn uniformly among those whose two top bits
    are set.

    Candidates are drawn afresh each time: stepping on to the next prime would favour primes after long gaps.
    The two top bits make the product of an a-bit and a b-bit prime exactly a + b bits long.
    """
    fixed = (mpz(3) << (bits - 2)) | 3
    while True:
        candidate = mpz(secrets.randbits(bits)) | fixed
        if is_prime(candidate):
            return candidate
