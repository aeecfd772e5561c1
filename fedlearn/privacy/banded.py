"""Noise that cancels between rounds: the banded square-root mechanism, for cohorts that take turns.

Where a client is in at most one of any b rounds, the noise of a round may take back a part of the noise of those before
it: w_t = z_t - round(sum over 0 < i < b of c_i w_(t-i)), with c_k = C(2k, k) / 4^k and fresh discrete Gaussians z. What
is added up over rounds, as a model adds up its updates, then has less noise for the same epsilon: no coin needs to be
secret, so that epsilon holds against the aggregator too (Choquette-Choo et al. 2023, "(Amplified) banded matrix
factorization"; the coefficients are those of the square root of the matrix of sums, Fichtenberger, Henzinger, Upadhyay
2023, cut off after b of them).

The bound, in integers. Given what was opened before, round t opens an integer plus z_t. Between two adjacent runs that
integer differs by at most S where the client takes part, and in the i-th of the b - 1 rounds after it by c_i S, and by
less than 1 a number for rounding, sqrt(n) in all. So one turn of a client costs what one Gaussian does that is opened
with a sensitivity of `stretch` S, and m turns what m of these do.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from fedlearn.privacy.discrete import DiscreteGaussian

MOST_BANDS = 1 << 12
SWELL = 1.2  # a round's noise over that of z at most: 1.16 at 3 bands, less for more; tests have them all
CARRIED = 3  # steps that all roundings before come to at most, in a round's noise


def coefficients(bands: int) -> np.ndarray:
    """c_0 = 1, c_1 = 1/2, c_2 = 3/8..., float64 (bands,)."""
    return np.cumprod([1.0, *((2 * k - 1) / (2 * k) for k in range(1, bands))])


def stretch(bands: int, length: int, steps: int) -> float:
    """How far one turn of a client moves all that is opened, in clips. length: of a vector; steps: S, of a clip."""
    later = coefficients(bands)[1:] + math.sqrt(length) / steps
    return math.sqrt(1 + float(np.square(later).sum()))


def swell(bands: int, round: int) -> float:
    """The standard deviation of a round's noise over that of z, but for roundings."""
    of_first, later = [1.0], coefficients(bands)[1:]  # how much of z_1 is in each round
    for _ in range(1, round):
        recent = of_first[:-bands:-1]
        of_first.append(-float(later[: len(recent)] @ recent))
    return math.hypot(*of_first)


@dataclass(eq=False)
class BandedNoise:
    """The noise of each round, which one party adds. A process that begins later makes that of earlier rounds again.

    sigma: of z, in steps. key: 32 bytes, secret, that all of it follows from.
    """

    sigma: int
    bands: int
    key: bytes
    _series: dict[int, tuple[int, deque[np.ndarray]]] = field(default_factory=dict)  # by group: a round, the last ones

    def added(self, total: np.ndarray, round: int, group: int = 0) -> np.ndarray:
        """An opened sum, int64 (n,), with its noise. Never for two sums of one round: their difference has none."""
        done, last = self._series.get(group, (0, deque(maxlen=self.bands - 1)))
        if done >= round:
            done, last = 0, deque(maxlen=self.bands - 1)
        made = np.zeros(0, np.int64)
        for each in range(done + 1, round + 1):
            made = self._next(last, each, group, len(total))
            last.append(made)
        self._series[group] = round, last
        return total + made

    def _next(self, last: deque[np.ndarray], round: int, group: int, length: int) -> np.ndarray:
        key = sha256(self.key + f"fedlearn banded {group} {round}".encode()).digest()
        fresh = DiscreteGaussian(self.sigma, key).sample(length)
        taken = np.zeros(length)
        for coefficient, before in zip(coefficients(self.bands)[1:], reversed(last), strict=False):
            taken += coefficient * before
        return fresh - np.rint(taken).astype(np.int64)
