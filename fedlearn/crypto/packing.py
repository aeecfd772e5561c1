"""Many signed integers in one big one, in lanes of a fixed width.

A plaintext is sum over i of s_i * 2^(lane_bits * i) modulo n, with signed s_i. Adding plaintexts adds lane by lane.
To read them, 2^(lane_bits-1) is added to every lane, which makes all lanes non-negative, whatever number of
plaintexts was added; so a sum over those who did not drop out is read like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from gmpy2 import mpz

from fedlearn.crypto.checks import given, whole
from fedlearn.crypto.integers import integers_from_bytes, integers_to_bytes
from fedlearn.crypto.lanes import join_lanes, split_lanes, words_for
from fedlearn.errors import CiphertextError, CodecError
from fedlearn.wording import many

MIN_LANE_BITS, MAX_LANE_BITS = 2, 64
_U64 = np.uint64


@dataclass(frozen=True)
class LanePacking:
    """Signed `lane_bits`-bit lanes in plaintexts modulo `modulus`; `lanes` of them fit a plaintext."""

    lane_bits: int
    modulus: mpz

    def __post_init__(self) -> None:
        object.__setattr__(self, "lane_bits", whole("lane_bits", self.lane_bits))
        object.__setattr__(self, "modulus", mpz(whole("modulus", self.modulus)))
        if not MIN_LANE_BITS <= self.lane_bits <= MAX_LANE_BITS:
            raise CodecError(
                f"lanes of {many(self.lane_bits, 'bit')}: {MIN_LANE_BITS} to {MAX_LANE_BITS} can be packed"
            )
        if self.modulus < 1 or self.lanes < 1:
            raise CodecError(
                f"a {self.modulus.bit_length()}-bit modulus holds no {self.lane_bits}-bit lane: use a larger key"
            )

    @property
    def lanes(self) -> int:
        """Lanes in one plaintext: two bits of n are left free, so that |plaintext| < n / 2."""
        return int(self.modulus.bit_length() - 2) // self.lane_bits

    def plaintexts(self, count: int) -> int:
        """Plaintexts that `count` values need; raises `CodecError` for what is no number of them."""
        count = whole("the number of values", count)
        if count < 0:
            raise CodecError(f"{many(count, 'value')}: 0 or more can be packed")
        return -(-count // self.lanes)

    @cached_property
    def _half(self) -> mpz:
        """2^(lane_bits-1) in every lane."""
        ones = ((mpz(1) << (self.lane_bits * self.lanes)) - 1) // ((mpz(1) << self.lane_bits) - 1)
        return ones << (self.lane_bits - 1)

    @cached_property
    def _words(self) -> int:
        return words_for(self.lanes, self.lane_bits)

    def pack(self, values: np.ndarray) -> list[mpz]:
        """Plaintexts in [0, n) of a one-dimensional int64 array; the last one's spare lanes hold 0.

        Raises `CodecError` for another array, or a value that does not fit a lane.
        """
        if not isinstance(values, np.ndarray) or values.dtype != np.int64 or values.ndim != 1:
            found = isinstance(values, np.ndarray)
            what = f"{many(values.ndim, 'axis', 'axes')} of {values.dtype}" if found else f"{values!r:.80}"
            raise CodecError(f"{what} cannot be packed: give a one-dimensional int64 array")
        if not values.size:
            return []
        limit = (1 << (self.lane_bits - 1)) - 1
        if int(values.max()) > limit or int(values.min()) < -limit - 1:
            raise CodecError(f"values from {values.min()} to {values.max()} do not fit {self.lane_bits}-bit lanes")
        rows = self.plaintexts(values.size)
        lanes = np.zeros((rows, self.lanes), dtype=np.uint64)
        lanes.ravel()[: values.size] = values.view(_U64)
        lanes += _U64(1 << (self.lane_bits - 1))  # wraps modulo 2^64, as two's complement does
        half, n = self._half, self.modulus
        unsigned = integers_from_bytes(join_lanes(lanes, self.lane_bits).tobytes(), 8 * self._words)
        return [(x - half) % n for x in unsigned]

    def unpack(self, plaintexts: list[mpz], count: int) -> np.ndarray:
        """The first `count` lanes of `plaintexts` as int64.

        Raises `CiphertextError` for another number of plaintexts than `count` values need, or if a plaintext is too
        large to be a sum of packed ones.
        """
        if not isinstance(plaintexts, list) or len(plaintexts) != self.plaintexts(count):
            listed = isinstance(plaintexts, list)
            got = (
                many(len(plaintexts), "plaintext") if listed else f"{plaintexts!r:.80} in place of plaintexts in a list"
            )
            raise CiphertextError(
                f"{got} for {many(count, 'value')}: {many(self.plaintexts(count), 'is', 'are')} needed"
            )
        for plaintext in plaintexts:
            given("a plaintext", plaintext, (mpz, int), CiphertextError)
        half, n = self._half, self.modulus
        unsigned = [(x + half) % n for x in plaintexts]
        if any(x >> (self.lane_bits * self.lanes) for x in unsigned):
            raise CiphertextError(
                f"a plaintext is no sum of {self.lane_bits}-bit lanes: another codec, or tampered with"
            )
        words = np.frombuffer(integers_to_bytes(unsigned, 8 * self._words), dtype="<u8")
        lanes = split_lanes(words.reshape(-1, self._words), self.lane_bits, self.lanes)
        lanes -= _U64(1 << (self.lane_bits - 1))
        return lanes.ravel()[:count].view(np.int64)
