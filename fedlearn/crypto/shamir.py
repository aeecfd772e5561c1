"""Shamir's secret sharing (CACM 1979) of 32-byte secrets over a prime field, for any number of holders."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from operator import index
from typing import Any

import gmpy2
from gmpy2 import mpz

from fedlearn.crypto.checks import given
from fedlearn.errors import CiphertextError, CryptoKeyError
from fedlearn.wording import many

SECRET_BYTES = 32
SHARE_BYTES = 33
PRIME = mpz(2) ** 256 + 297  # the smallest prime above 2^256


def split(secret: bytes, threshold: int, holders: Collection[int]) -> dict[int, bytes]:
    """A share for each holder, `threshold` of which give the secret back and fewer say nothing about it.

    Holders are different integers of 1 to PRIME - 1. Raises `CryptoKeyError` for others, for a threshold that they
    cannot meet, and for a secret of another length than `SECRET_BYTES`.
    """
    if not isinstance(secret, bytes) or len(secret) != SECRET_BYTES:
        size = many(len(secret), "byte") if isinstance(secret, bytes) else f"type {type(secret).__name__}"
        raise CryptoKeyError(f"a secret of {size} cannot be shared: {SECRET_BYTES} bytes are expected")
    given("holders", holders, Collection, CryptoKeyError)
    if not isinstance(threshold, int) or not 1 <= threshold <= len(holders):
        raise CryptoKeyError(
            f"threshold {threshold!r} of {many(len(holders), 'holder')}: it must be 1 to {len(holders)}"
        )
    places = [place for place in map(_place, holders) if place is not None]
    if len(set(places)) < len(holders):
        raise CryptoKeyError(
            "holders of shares must be different integers from 1 to below the field's prime 2^256 + 297: "
            "a share at 0 is the secret"
        )
    polynomial = [mpz(secrets.randbelow(int(PRIME))) for _ in range(threshold - 1)] + [mpz.from_bytes(secret, "big")]
    return {place: int(_evaluate(polynomial, place)).to_bytes(SHARE_BYTES, "big") for place in places}


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret from at least `threshold` shares, by holder.

    Raises `CiphertextError` for too few or malformed shares, for holders that none can have, or if the shares visibly
    do not belong together.
    """
    if not isinstance(threshold, int) or threshold < 1:
        raise CiphertextError(f"a secret of threshold {threshold!r}: it must be an integer, at least 1")
    given("shares", shares, Mapping, CiphertextError)
    if len(shares) < threshold:
        raise CiphertextError(
            f"{many(len(shares), 'share')} of a secret, {threshold} are needed: too few holders answered"
        )
    chosen: dict[int, int] = {}
    for holder, share in list(shares.items())[:threshold]:
        place = _place(holder)
        if place is None:
            raise CiphertextError(f"a share of holder {holder!r}: holders are numbered from 1 to below 2^256 + 297")
        if not isinstance(share, bytes) or len(share) != SHARE_BYTES or int.from_bytes(share, "big") >= PRIME:
            raise CiphertextError(
                f"the share of holder {holder} is malformed: {SHARE_BYTES} bytes below the field's prime are expected"
            )
        chosen[place] = int.from_bytes(share, "big")
    secret = sum(share * _lagrange(x, chosen) for x, share in chosen.items()) % PRIME
    if secret >> (8 * SECRET_BYTES):
        raise CiphertextError(
            f"the shares of holders {sorted(chosen)} do not belong together: no such secret was shared"
        )
    return int(secret).to_bytes(SECRET_BYTES, "big")


def _place(holder: Any) -> int | None:
    """The point at which a holder's share is evaluated, or None if it is not a valid one."""
    try:
        place = int(index(holder))
    except TypeError:
        return None
    return place if 1 <= place < PRIME and not isinstance(holder, bool) else None


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
