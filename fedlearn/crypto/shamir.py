"""Shamir's secret sharing (CACM 1979) of 32-byte secrets over a prime field, for any number of holders."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping

import gmpy2
from gmpy2 import mpz

from fedlearn.errors import CiphertextError, CryptoKeyError

SECRET_BYTES = 32
SHARE_BYTES = 33
PRIME = mpz(2) ** 256 + 297  # the smallest prime above 2^256


def split(secret: bytes, threshold: int, holders: Collection[int]) -> dict[int, bytes]:
    """A share for each holder, `threshold` of which give the secret back and fewer say nothing about it.

    Holders are different positive integers. Raises `CryptoKeyError` for a threshold that they cannot meet.
    """
    if len(secret) != SECRET_BYTES:
        raise CryptoKeyError(f"a secret of {len(secret)} bytes cannot be shared: {SECRET_BYTES} bytes are expected")
    if not 1 <= threshold <= len(holders):
        raise CryptoKeyError(f"threshold {threshold} of {len(holders)} holders: it must be 1 to {len(holders)}")
    if len(set(holders)) != len(holders) or min(holders) < 1:
        raise CryptoKeyError("holders of shares must be different positive integers: a share at 0 is the secret")
    polynomial = [mpz(secrets.randbelow(int(PRIME))) for _ in range(threshold - 1)] + [mpz.from_bytes(secret, "big")]
    return {holder: int(_evaluate(polynomial, holder)).to_bytes(SHARE_BYTES, "big") for holder in holders}


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret from at least `threshold` shares.

    Raises `CiphertextError` for too few or malformed shares, or if they visibly do not belong together.
    """
    if len(shares) < threshold:
        raise CiphertextError(f"{len(shares)} shares of a secret, {threshold} are needed: too few holders answered")
    chosen = dict(list(shares.items())[:threshold])
    for holder, share in chosen.items():
        if len(share) != SHARE_BYTES or int.from_bytes(share, "big") >= PRIME:
            raise CiphertextError(
                f"the share of holder {holder} is malformed: {SHARE_BYTES} bytes below the field's prime"
            )
    secret = sum(int.from_bytes(share, "big") * _lagrange(x, chosen) for x, share in chosen.items()) % PRIME
    if secret >> (8 * SECRET_BYTES):
        raise CiphertextError(
            f"the shares of holders {sorted(chosen)} do not belong together: no such secret was shared"
        )
    return int(secret).to_bytes(SECRET_BYTES, "big")


def _evaluate(polynomial: list[mpz], x: int) -> mpz:
    value = mpz(0)
    for coefficient in polynomial:
        value = (value * x + coefficient) % PRIME
    return value


def _lagrange(x: int, points: Collection[int]) -> mpz:
    numerator, denominator = mpz(1), mpz(1)
    for other in points:
        if other != x:
            numerator = numerator * other % PRIME
            denominator = denominator * (other - x) % PRIME
    return numerator * gmpy2.invert(denominator, PRIME) % PRIME
