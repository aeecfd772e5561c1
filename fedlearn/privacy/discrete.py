"""Exact discrete Gaussian noise: integers e with P(e) proportional to exp(-e^2 / (2 sigma^2)).

Algorithm D of Karney 2016, "Sampling exactly from the normal distribution" (ACM TOMS 42), for mean 0 and an integer
sigma, where it becomes short: k from one fixed table, P(k) proportional to exp(-k^2 / 2); j uniform in [0, sigma);
y = k sigma + j is kept with probability exp(-j (2 k sigma + j) / (2 sigma^2)); it gets a sign, and -0 is refused. All
probabilities multiply to exp(-y^2 / (2 sigma^2)) exactly.

A float decides only where it is sure by a wide margin; the other draws, some 1 in 10^10, are settled in integers
(`fedlearn.privacy.exact`). So the distribution is the stated one, to the last bit.
"""

from __future__ import annotations

import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from fedlearn.errors import PrivacyError
from fedlearn.forks import forget_in_children
from fedlearn.privacy.exact import MORE, LazyUniform, exp_minus, half_gaussian_cdf
from fedlearn.wording import many

LARGEST_SIGMA = 1 << 32
BLOCK = 1 << 14  # candidates drawn at once: what is worked on stays in the cache
PER_VALUE = 1.45  # candidates for each value that is kept; sqrt(2 / pi) 1.7533 = 1.399 on average
MARGIN = 2.0**-36  # of a float's say on exp; its own error is below 2^-46
_K_BITS = 32
_ONE_IN_63 = 2.0**-63


def _k_thresholds() -> np.ndarray:
    """2^32 P(k <= 0), P(k <= 1)... rounded down, as far as they differ: uint32 (8,)."""
    found: list[int] = []
    while not found or found[-1] < (1 << _K_BITS) - 1:
        found.append(half_gaussian_cdf(len(found), _K_BITS + 64)[0] >> 64)
    return np.array(found, np.uint32)


class DiscreteGaussian:
    """Draws from N_Z(0, sigma^2). Not for two threads at once; a forked child draws from a fresh key.

    sigma: an integer of 1 to 2^32. key: 32 bytes that all draws follow from, for tests only (default: secret).
    Raises `PrivacyError` for another sigma or a key of another length.
    """

    def __init__(self, sigma: int, key: bytes | None = None):
        if isinstance(sigma, bool) or not isinstance(sigma, (int, np.integer)) or not 1 <= sigma <= LARGEST_SIGMA:
            raise PrivacyError(
                f"sigma is {sigma}, it must be an integer from 1 to 2^32: round it up, or lower the scale"
            )
        if key is not None and not (isinstance(key, bytes) and len(key) == 32):
            given = f"of {many(len(key), 'byte')}" if isinstance(key, bytes) else f"{key!r:.60}"
            raise PrivacyError(f"a noise key {given} was given, it must be 32 bytes: leave it out")
        self.sigma = int(sigma)
        self._key = key
        self.forget()
        forget_in_children(self)
        self._thresholds = _k_thresholds()
        self._unfair = np.uint64((1 << 32) % self.sigma)  # see `_uniform`

    def sample(self, n: int) -> np.ndarray:
        """n independent draws, int64 (n,); raises `PrivacyError` for n below 0 or no integer."""
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
            raise PrivacyError(f"{n!s:.60} values were asked for, it must be an integer of 0 or more")
        try:
            values = np.empty(n, np.int64)
        except (MemoryError, ValueError):
            raise PrivacyError(
                f"{many(n, 'value was', 'values were')} asked for, more than there is memory for"
            ) from None
        done = 0
        while done < n:
            drawn = self._candidates(min(BLOCK, int(PER_VALUE * (n - done)) + 16))[: n - done]
            values[done : done + len(drawn)] = drawn
            done += len(drawn)
        return values

    def forget(self) -> None:
        """Draw from a fresh key, or a test's from its start: a forked child would otherwise draw its parent's noise."""
        self._stream = Cipher(AES256(self._key or secrets.token_bytes(32)), CTR(bytes(16))).encryptor()

    def _random(self, size: int) -> bytes:
        return self._stream.update(bytes(size))

    def _more(self) -> int:
        return int.from_bytes(self._random(MORE // 8), "little")

    def _candidates(self, count: int) -> np.ndarray:
        """Draw `count` candidates, return those that are kept: int64, somewhat fewer."""
        data = self._random(16 * count)
        halves = np.frombuffer(data, "<u4", 2 * count)
        for_k = halves[:count]
        last = np.frombuffer(data, "<u8", count, offset=8 * count)
        for_acceptance, negative = last >> np.uint64(1), (last & np.uint64(1)).astype(bool)
        j, fair = self._uniform(halves[count:])
        k, undecided = self._index(for_k)
        y = k * self.sigma + j
        x = j * (1.0 / self.sigma)
        above = for_acceptance * _ONE_IN_63 - np.exp(-0.5 * x * (x + 2 * k))  # exact >= 0: refused
        keep = (above < 0) & fair & ~((y == 0) & negative)
        undecided |= np.abs(above) < MARGIN
        for i in np.flatnonzero(undecided & fair):
            keep[i], y[i] = self._settle(int(for_k[i]), int(j[i]), int(for_acceptance[i]), bool(negative[i]))
        values: np.ndarray = np.where(negative, -y, y)[keep]
        return values

    def _uniform(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """j in [0, sigma), int64, and whether it is fair (Lemire 2019, "Fast random integer generation", section 4)."""
        product = words * np.uint64(self.sigma)
        fair = (product & np.uint64(0xFFFFFFFF)) >= self._unfair
        return (product >> np.uint64(32)).astype(np.int64), fair

    def _index(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """k by the table, int64, and whether 32 bits did not decide it."""
        k = np.zeros(len(words), np.int8)
        undecided = np.zeros(len(words), bool)
        for threshold in self._thresholds:
            k += words > threshold
            undecided |= words == threshold
        return k.astype(np.int64), undecided

    def _settle(self, for_k: int, j: int, for_acceptance: int, negative: bool) -> tuple[bool, int]:
        """Decide by intervals alone if a candidate is kept, and find its y."""
        uniform, k = LazyUniform(for_k, _K_BITS, self._more), 0
        while not uniform.below(lambda bits: half_gaussian_cdf(k, bits)):  # noqa: B023
            k += 1
        probability = exp_minus(j * (2 * k * self.sigma + j), 2 * self.sigma**2)
        keep = LazyUniform(for_acceptance, 63, self._more).below(probability)
        y = k * self.sigma + j
        return keep and not (y == 0 and negative), y
