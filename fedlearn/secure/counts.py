"""The layout of a protected vector where clients answer a query: whole numbers as they are, no bookkeeping beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.errors import CodecError
from fedlearn.privacy.terms import Terms
from fedlearn.queries.base import Counts
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.layout import Coins, Layout, check_length
from fedlearn.secure.noised import PrivateLayout
from fedlearn.secure.segments import Segment, codec_of
from fedlearn.strategies.base import LocalUpdate
from fedlearn.wording import many


@dataclass(frozen=True)
class CountLayout(Layout):
    """Segments of counts, each with the most that one client may enter as its codec's bound."""

    @staticmethod
    def of_counts(entries: Mapping[str, Counts], codec: FixedPoint, terms: Terms | None = None) -> Layout:
        """The layout of such entries.

        terms: of noise. Raises `CodecError` where a client's counts do not fit the codec's integers.
        """
        if terms is not None:
            return PrivateLayout.of_lengths({name: each.length for name, each in entries.items()}, codec, terms)
        for name, each in entries.items():
            if not 1 <= each.most <= codec.limit:
                raise CodecError(
                    f"{name} may be up to {each.most} of one client, {many(codec.bits, 'bit')} hold {codec.limit}: "
                    "raise bits in the codec, or ask with a lower most"
                )
        segments = [
            Segment(name, each.length, codec_of("count", float(each.most), codec), "count")
            for name, each in entries.items()
        ]
        return CountLayout(tuple(segments), 1)

    def encode(self, update: LocalUpdate, coins: Coins | None = None) -> np.ndarray:
        """One client's counts (n,), of the codec's dtype; raises `CodecError` for one that is not within its bounds."""
        lanes = np.empty(len(self), self.codec.dtype)
        at = 0
        for segment in self.segments:
            values = np.asarray(update.vectors[segment.name])
            check_length(segment, values)
            most = int(segment.codec.bound)
            if values.dtype.kind not in "iu" or (values.size and not (values.min() >= 0 and values.max() <= most)):
                raise CodecError(
                    f"{segment.name} holds {values.max() if values.size else values.dtype}, where whole numbers from 0 "
                    f"to {most} are agreed on: ask with a higher most"
                )
            lanes[at : at + segment.length] = values
            at += segment.length
        return lanes

    def _possible(self, segment: Segment, addends: int) -> tuple[int, int]:
        return 0, addends * int(segment.codec.bound)

    def decode(self, total: np.ndarray, addends: int) -> Aggregate:
        """The sums by name; raises `RoundVoid` for those to which no honest clients' counts add up."""
        return Aggregate({}, addends, error_bound=0.0, sums=self._opened(total, addends))


def counting_codec(entries: Mapping[str, Counts], addends: int) -> FixedPoint:
    """The narrowest lanes that hold these counts of so many clients exactly.

    Raises `CodecError` where none do.
    """
    most = max(each.most for each in entries.values())
    bits = max(2, most.bit_length() + 1)
    return FixedPoint(bits, float((1 << (bits - 1)) - 1), addends)
