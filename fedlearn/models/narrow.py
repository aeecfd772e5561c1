"""Word models cut down to the words of one client, for as long as it trains.

A client's messages name a few hundred words of a vocabulary of many thousands. A model of just those rows takes the
same steps, in the cache, and every number of its update that it leaves out is 0. The support is for the client's
eyes only: which rows it holds says which words it has, so what leaves a client is as long as the whole model.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from fedlearn.datasets.bags import Bags
from fedlearn.models.base import Model
from fedlearn.models.flat import FlatModel
from fedlearn.nn import functional as F


@dataclass(frozen=True, eq=False)
class Support:
    """Which numbers of a long vector (n,) a short one (m,) holds: all but [begin:end], and of that these rows.

    rows: int64 (U,), ascending, of the table (V, width) that [begin:end] is.
    """

    begin: int
    end: int
    width: int
    rows: np.ndarray

    def gather(self, whole: np.ndarray) -> np.ndarray:
        """The short vector of a long one."""
        table = whole[self.begin : self.end].reshape(-1, self.width)
        return np.concatenate([whole[: self.begin], table.take(self.rows, axis=0).ravel(), whole[self.end :]])

    def add_to(self, whole: np.ndarray, short: np.ndarray) -> None:
        """Add a short vector to a long one, in place."""
        stop = self.begin + self.rows.size * self.width
        whole[: self.begin] += short[: self.begin]
        table = whole[self.begin : self.end].reshape(-1, self.width)
        table[self.rows] += short[self.begin : stop].reshape(-1, self.width)
        whole[self.end :] += short[stop:]


class NarrowModel(FlatModel):
    """A copy of `model`, one with a `vocabulary`, that holds only the rows which one client's examples name.

    Exact for training that leaves a weight alone whose gradient is always 0: no weight decay.
    """

    def __init__(self, model: Model):
        super().__init__(model)
        names = [name for name, _ in model.named_parameters()]
        assert model.vocabulary is not None
        self._table = names.index(model.vocabulary)
        self._words, self._width = self._shapes[self._table]
        self._begin = sum(prod(shape) for shape in self._shapes[: self._table])
        self._place = np.empty(self._words, np.int64)

    def narrow(self, weights: np.ndarray, data: Bags) -> tuple[Bags, Support]:
        """Hold the rows of the whole model's weights (P,) that `data` names; returns the examples in their numbers."""
        indices = F.checked_indices(data.indices, self._words, "vocabulary index")
        named = np.zeros(self._words, bool)
        named[indices] = True
        rows = np.flatnonzero(named)
        self._place[rows] = np.arange(len(rows))
        support = Support(self._begin, self._begin + self._words * self._width, self._width, rows)
        self._shapes[self._table] = (len(rows), self._width)
        self._hold(support.gather(weights))
        return Bags(self._place[indices], data.offsets, data.labels), support
