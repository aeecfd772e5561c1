"""The projections of a sequence on their way into a room: gate by gate, some steps at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fedlearn.autograd.recurrent.layout import by_gate

AT_ONCE = 1 << 15  # numbers: more of them would leave the nearest cache before they are used


class Incoming:
    """Projections (T, B, G H) of T steps, or the rows of a table (V, G H) that indices (T, B) name.

    order: which gate comes first, in the arrays that are filled; so many of the first are `halved`.
    steps: those that are filled at once, `at_once` of them or, at the end, fewer.
    table, places: where there are indices, all gates' rows one after another, and which of them a step reads (T, G, B).
    """

    def __init__(
        self, length: int, batch: int, hidden: int, dtype: np.dtype, vocabulary: int | None, order: Sequence[int],
        halved: int,
    ):  # fmt: skip
        self._order, self._halved = list(order), halved
        gates = len(self._order)
        self.at_once = max(1, min(length, AT_ONCE // max(1, gates * batch * hidden)))
        self.steps = [slice(start, start + self.at_once) for start in range(0, length, self.at_once)]
        self.bytes = 0
        if vocabulary is not None:
            self._table = np.empty((gates, vocabulary, hidden), dtype)
            self.table = self._table.reshape(-1, hidden)
            self._starts = np.arange(gates)[:, None] * vocabulary  # of each gate's rows, in the table taken as one
            self.places = np.empty((length, gates, batch), np.int64)
            self.bytes = self._table.nbytes + self.places.nbytes

    def read(self, projected: np.ndarray, indices: np.ndarray | None) -> None:
        """Take these from now on; there are indices where there is a vocabulary."""
        self._planes = by_gate(projected, len(self._order))
        self._by_number = indices is not None
        if indices is not None:
            self._table[...] = self._planes[self._order]
            self._halve(self._table[: self._halved])
            np.add(indices[:, None], self._starts, out=self.places)

    def _halve(self, sums: np.ndarray) -> None:
        if self._halved:
            np.multiply(sums, 0.5, out=sums)  # quicker in place than on the way in, since here numbers lie in a row

    def some_at_once(self, gates: np.ndarray) -> Iterator[slice]:
        """Fills gates (T, G, B, H), some steps at a time, and says which."""
        for steps in self.steps:
            if self._by_number:
                for step in range(steps.start, min(steps.stop, len(gates))):
                    self.table.take(self.places[step], axis=0, out=gates[step], mode="clip")
            else:
                for place, gate in enumerate(self._order):
                    gates[steps, place] = self._planes[steps, gate]
                self._halve(gates[steps, : self._halved])
            yield steps
