"""The runs of lanes that a protected vector is made of.

All lanes of a vector are equally wide, as its codec says, since a protection adds them up so. The numbers that stand
beside the updates (weights, losses, counts) have a width of their own: one that a lane does not hold is written in
several, as digits, whose sums make the sum of the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fedlearn.crypto import FixedPoint

LEAST_BITS = 16  # of a number beside the updates, however few bits these have


@dataclass(frozen=True)
class Segment:
    """A run of lanes.

    kind: "vector" and "loss" enter as (w / max_weight) * value, a "count" or "finer" as it is.
    codec: of its numbers. digit_bits: of each lane, where the segment is one number in several lanes, the lowest digit
    first; 0 where each lane is a number.
    """

    name: str
    length: int
    codec: FixedPoint
    kind: str = "vector"
    digit_bits: int = 0

    def write(self, number: Any, lanes: np.ndarray) -> None:
        """Put a number, or those of K clients, in its lanes (length,) or (K, length); the codec's limit for more."""
        if isinstance(number, int) and not self.digit_bits:  # as most are: one for all clients
            lanes[...] = min(number, self.codec.limit)
            return
        number = np.asarray(np.minimum(number, self.codec.limit), np.int64)[..., None]
        if not self.digit_bits:
            lanes[...] = number
            return
        shifts = self.digit_bits * np.arange(self.length)
        lanes[...] = np.sign(number) * ((np.abs(number) >> shifts) & ((1 << self.digit_bits) - 1))

    def read(self, lanes: np.ndarray) -> int:
        """The number in its lanes, or in sums of them."""
        if self.length == 1:
            return int(lanes[0])
        return sum(int(digit) << (self.digit_bits * place) for place, digit in enumerate(lanes))

    def range(self, lanes: np.ndarray, otherwise: tuple[int, int]) -> tuple[int, int]:
        """The least and the largest of its numbers, of sums of lanes; otherwise: where it has none."""
        if self.digit_bits or self.length == 1:  # as most segments are: no reduction
            number = self.read(lanes)
            return number, number
        return int(lanes.min(initial=otherwise[1])), int(lanes.max(initial=otherwise[0]))


def number_beside(name: str, kind: str, bound: float, codec: FixedPoint) -> Segment:
    """The lanes of one number beside the updates, which is clipped at `bound`. codec: of the updates."""
    own = codec_of(kind, bound, codec)
    if own.bits == codec.bits:
        return Segment(name, 1, own, kind)
    return Segment(name, -(-(own.bits - 1) // (codec.bits - 1)), own, kind, codec.bits - 1)


@lru_cache(maxsize=256)  # a run's layouts are made many times, of the same few codecs
def codec_of(kind: str, bound: float, codec: FixedPoint) -> FixedPoint:
    """The codec of a segment: of a vector the plan's with a bound of its own; of a number beside it, one that clips."""
    if kind == "vector":
        return replace(codec, bound=bound)
    most = LEAST_BITS if kind == "loss" else int(bound).bit_length() + 1
    return replace(codec, bits=max(codec.bits, most), bound=bound, overflow="clip", rounding="nearest")
