"""The layout of a vector under differential privacy: one clipped update with noise, and no lane that tells more.

Weights, losses and counts of the cohort would be released without noise: they are not sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.errors import CodecError, ProtocolError
from fedlearn.privacy.terms import Terms
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.layout import Coins, Layout, check_length
from fedlearn.secure.segments import Segment, codec_of
from fedlearn.strategies.base import LocalUpdate
from fedlearn.wording import many

BELOW = "below"  # the lane of a client's answer, whether its norm is at most the clip
CLIP = "clip"  # the clip of a round, in its request


@dataclass(frozen=True)
class PrivateLayout(Layout):
    """A clipped output, each client's of weight 1; where the clip adapts, one lane more, which has noise too.

    Every lane of a vector takes noise, those of words that nobody used too, and a norm must not depend on what is left
    out of a sum: so vectors are encoded whole.
    Raises `CodecError` where a client's integers do not fit the codec's, and for more than one output.
    """

    terms: Terms
    whole: ClassVar[bool] = True

    @staticmethod
    def of_lengths(lengths: Mapping[str, int], codec: FixedPoint, terms: Terms) -> PrivateLayout:
        """The layout of vectors of these lengths, by name, as clients send them."""
        segments = [Segment(name, length, codec) for name, length in lengths.items()]
        if terms.adaptive:
            segments.append(Segment(BELOW, 1, codec_of("count", float(codec.limit), codec), "count"))
        return PrivateLayout(tuple(segments), 1, terms)

    def __post_init__(self) -> None:
        names = [segment.name for segment in self.segments]
        if names[1:] != ([BELOW] if self.terms.adaptive else []) or self.max_weight != 1:
            raise CodecError(
                f"differential privacy clips one vector, all clients weigh 1: not {names} "
                f"and max_weight={self.max_weight}"
            )
        if self.terms.lane_bound > self.codec.limit:
            raise CodecError(
                f"a client's integers are up to {self.terms.lane_bound}, {many(self.codec.bits, 'bit')} hold "
                f"{self.codec.limit}: raise bits in the codec"
            )

    @property
    def broadcasts(self) -> Mapping[str, int]:
        return {CLIP: 1} if self.terms.adaptive else {}

    def in_round(self, state: Mapping[str, np.ndarray]) -> Layout:
        if not self.terms.adaptive:
            return self
        said = np.asarray(state.get(CLIP, ()), np.float64)
        if said.shape != (1,) or not (math.isfinite(said[0]) and said[0] > 0):
            raise ProtocolError(f"the request's clip is {said.tolist()}, it must be one number above 0: send it again")
        return replace(self, terms=self.terms.clipped_at(float(said[0])))

    def encode(self, update: LocalUpdate, coins: Coins | None = None) -> np.ndarray:
        """As in `Layout`, without noise; what is not finite counts as zeros."""
        first = self.segments[0]
        values = update.vectors[first.name]
        check_length(first, values)
        return self.terms.quantise(values, None if coins is None else coins[first.name]).astype(self.codec.dtype)

    def added(self, rows: np.ndarray) -> np.ndarray:
        """One client's lanes (1, n), of the encoded examples (K, n) that it drew; without noise.

        A lane that they fill is cut off. That moves no two sums further apart, so that one example counts for no more.
        """
        total = rows.sum(axis=0, dtype=np.int64)[None]
        lanes: np.ndarray = np.clip(total, -self.terms.full, self.terms.full).astype(self.codec.dtype)
        return lanes

    def blur(self, lanes: np.ndarray, round: int, clients: Sequence[int]) -> None:
        if self.terms.where == "clients":
            for row, client in zip(lanes, clients, strict=True):
                row += self.terms.draw(len(row), round, client).astype(row.dtype)

    def _possible(self, segment: Segment, addends: int) -> tuple[int, int]:
        most = addends * self.terms.lane_bound
        return -most, most

    def decode(self, total: np.ndarray, addends: int) -> Aggregate:
        """The mean over the cohort's expected size, of a sum with all its noise."""
        margin = self.terms.sum_margin
        self._check_opened(np.clip(np.abs(total) - margin, 0, None), addends)
        first = self.segments[0]
        mean = {first.name: self.terms.decode(total[: first.length])}
        return Aggregate(mean, addends, below=self.terms.below(int(total[-1])) if self.terms.adaptive else None)
