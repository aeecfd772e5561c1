"""Decisions about exp(-x) that no rounding can turn: uniform numbers of as many bits as it takes, beside intervals.

A float of 53 bits knows neither a probability nor a uniform number exactly, and the difference shows in the noise
(Mironov 2012, "On significance of the least significant bits for differential privacy"). Here a uniform number is an
integer v of b bits, known to lie in [v, v + 1] / 2^b, and a probability is enclosed between two integers over 2^b.
Where these do not tell which is smaller, both get more bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import gmpy2

Enclosure = Callable[[int], tuple[int, int]]  # bits -> (low, high) with low <= p 2^bits <= high

GUARD = 32  # bits by which a probability is known better than the number that it is compared with
MORE = 64  # bits that an undecided number gets


class LazyUniform:
    """One uniform number in [0, 1), of which `bits` bits are drawn so far and more as they are asked for.

    value: the first `bits` bits. more: `MORE` fresh random bits, as an integer.
    """

    def __init__(self, value: int, bits: int, more: Callable[[], int]):
        self._value, self._bits, self._more = value, bits, more

    def below(self, probability: Enclosure) -> bool:
        """True if it lies below a probability; several questions are answered of one and the same number."""
        while True:
            low, high = probability(self._bits + GUARD)
            if (self._value + 1) << GUARD <= low:
                return True
            if self._value << GUARD >= high:
                return False
            self._value = self._value << MORE | self._more()
            self._bits += MORE


def exp_minus(numerator: int, denominator: int) -> Enclosure:
    """exp(-numerator / denominator), for integers >= 0 and > 0."""

    def enclose(bits: int) -> tuple[int, int]:
        if numerator == 0:
            return 1 << bits, 1 << bits
        return _exp(numerator, denominator, bits, up=False), _exp(numerator, denominator, bits, up=True)

    return enclose


def _exp(numerator: int, denominator: int, bits: int, up: bool) -> int:
    """2^bits exp(-numerator / denominator), rounded up or down.

    All of it in the context: outside of it, even a product with a power of two is rounded to 53 bits.
    """
    rounding = gmpy2.RoundUp if up else gmpy2.RoundDown
    with gmpy2.context(precision=bits + GUARD + numerator.bit_length(), round=rounding):
        found = gmpy2.exp(gmpy2.mpfr(gmpy2.mpq(-numerator, denominator)))
    mantissa, exponent = found.as_mantissa_exp()
    shift = int(exponent) + bits
    if shift >= 0:
        return int(mantissa) << shift
    return -(-int(mantissa) >> -shift) if up else int(mantissa) >> -shift


@lru_cache(maxsize=256)
def half_gaussian_cdf(last: int, bits: int) -> tuple[int, int]:
    """An enclosure of P(k <= last) where P(k) is proportional to exp(-k^2 / 2) on the integers k >= 0."""
    inner = bits + GUARD
    end = max(last, int((1.4 * inner) ** 0.5) + 2)  # the tail lies below 2^-inner
    terms = [exp_minus(k * k, 2)(inner) for k in range(end + 1)]
    tail = 2 * exp_minus((end + 1) ** 2, 2)(inner)[1]  # of a series that falls faster than by halves
    low_all, high_all = sum(low for low, _ in terms), sum(high for _, high in terms) + tail
    low, high = sum(low for low, _ in terms[: last + 1]), sum(high for _, high in terms[: last + 1])
    return (low << bits) // high_all, -(-(high << bits) // low_all)
