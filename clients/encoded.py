"""Encoded updates on their way out of local training, and their running sum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.secure.layout import Layout
from fedlearn.training.narrow import Support


@dataclass(frozen=True, eq=False)
class Encoded:
    """Encoded updates of some clients, (K, n); with a `support` of those lanes only, (K, m).

    Of the codec's dtype, and so few of them that no sum overflows it.
    """

    clients: Sequence[int]
    lanes: np.ndarray
    support: Support | None = None

    def add_to(self, total: np.ndarray) -> None:
        """Add all of them to `total` (n,), of the codec's dtype, in place."""
        if self.support is None:
            total += self.lanes.sum(axis=0, dtype=self.lanes.dtype)
        else:
            self.support.add_to(total, self.lanes)

    def vectors(self, length: int) -> Iterator[tuple[int, np.ndarray]]:
        """Each client's whole vector, int64 (n,), of `length` lanes."""
        if self.support is None:
            yield from zip(self.clients, self.lanes.astype(np.int64), strict=True)
        else:
            for row, client in enumerate(self.clients):
                one, whole = slice(row, row + 1), np.zeros(length, self.lanes.dtype)
                self.support.among(one).add_to(whole, self.lanes[one])
                yield client, whole.astype(np.int64)


class RunningSum:
    """Adds up encoded updates: in the codec's own dtype for as long as that cannot overflow, which is quicker."""

    def __init__(self, layout: Layout):
        self._total = np.zeros(len(layout), np.int64)
        self._latest = np.zeros(len(layout), layout.codec.dtype)
        self._room = self._addable = addable(layout.codec)

    def add(self, encoded: Encoded) -> None:
        if len(encoded.clients) > self._room:
            self._settle()
        encoded.add_to(self._latest)
        self._room -= len(encoded.clients)

    def total(self) -> np.ndarray:
        """The sum of all of them, int64 (n,)."""
        self._settle()
        return self._total

    def _settle(self) -> None:
        self._total += self._latest
        self._latest[:] = 0
        self._room = self._addable


def addable(codec: FixedPoint) -> int:
    """How many encoded values its dtype can hold the sum of."""
    return 1 << (8 * codec.dtype.itemsize - codec.bits)
