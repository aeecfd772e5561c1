"""Word models cut down to the words of the clients that train, each client to its own.

A client's messages name a few hundred words of a vocabulary of many thousands. A model of just those rows takes the
same steps, in the cache, and every number of its update that it leaves out is 0. The support is for the client's
eyes only: which rows it holds says which words it has, so what leaves a client is as long as the whole model.

Clients train side by side, in a stack as wide as the one with the most rows. Here padding is harmless, where padded
batches of examples are not: a row that no example names is in no sum, has the gradient 0, keeps its value, and is left
out of what leaves the worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from fedlearn.autograd.sparse import add_to_rows
from fedlearn.datasets.bags import Bags
from fedlearn.models.base import Model
from fedlearn.nn import functional as F
from fedlearn.training.flat import STACKED_WEIGHTS, FlatModel
from fedlearn.training.stacks import StackedBags


@dataclass(frozen=True, eq=False)
class OwnWords:
    """One client's examples in the numbers of its own words, which are the table's `rows`: int64 (U,), ascending."""

    examples: Bags
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Support:
    """Maps K clients' short vectors (K, m) to the full vector (n,).

    A short vector has every number outside of [begin:end). That range is a table (V, width), of which a client has
    only its own rows.

    rows: the numbers of each client's own rows, ascending. A short vector has room for `most` rows.
    """

    begin: int
    end: int
    width: int
    most: int
    rows: Sequence[np.ndarray]

    @property
    def stop(self) -> int:
        """The end of the table in a short vector."""
        return self.begin + self.most * self.width

    def gather(self, whole: np.ndarray) -> np.ndarray:
        """The short vectors of a long one, 0 where a client has fewer rows than there is room for."""
        short = np.empty((len(self.rows), self.stop + whole.size - self.end), whole.dtype)
        short[:, : self.begin] = whole[: self.begin]
        short[:, self.stop :] = whole[self.end :]
        table = whole[self.begin : self.end].reshape(-1, self.width)
        for one, rows, own in zip(short, self.rows, self._tables(short), strict=True):
            table.take(rows, axis=0, out=own, mode="clip")
            one[self.begin + own.size : self.stop] = 0
        return short

    def add_to(self, whole: np.ndarray, short: np.ndarray) -> None:
        """Add the short vectors to a long one of their dtype, in place."""
        whole[: self.begin] += short[:, : self.begin].sum(axis=0, dtype=short.dtype)
        whole[self.end :] += short[:, self.stop :].sum(axis=0, dtype=short.dtype)
        table = whole[self.begin : self.end].reshape(-1, self.width)
        rows, values = np.concatenate(self.rows), np.concatenate(list(self._tables(short)))
        add_to_rows(table, rows, np.arange(len(rows) + 1), values)

    def scatter(self, short: np.ndarray, length: int) -> np.ndarray:
        """The long vectors of the short ones, (K, length): 0 in all rows that are not a client's own."""
        whole = np.zeros((len(short), length), short.dtype)
        for row, one in enumerate(whole):
            self.among(slice(row, row + 1)).add_to(one, short[row : row + 1])
        return whole

    def among(self, clients: slice) -> Support:
        """The support of some of the clients."""
        return replace(self, rows=self.rows[clients])

    def _tables(self, short: np.ndarray) -> Iterator[np.ndarray]:
        """Each client's rows, (U, width), as they lie in the short vectors."""
        for rows, one in zip(self.rows, short, strict=True):
            yield one[self.begin : self.begin + rows.size * self.width].reshape(-1, self.width)


class NarrowModel(FlatModel):
    """Copies of `model`, one with a `vocabulary`, that hold only the rows which each client's examples name.

    Exact for training that leaves a weight alone whose gradient is always 0: no weight decay. `most` copies at once,
    or as many as fit the cache.
    """

    def __init__(self, model: Model, most: int | None = None):
        super().__init__(model, 1)
        names = [name for name, _ in model.named_parameters()]
        assert model.vocabulary is not None
        self._table = names.index(model.vocabulary)
        self._words, self._width = self._shapes[self._table]
        self._begin = sum(prod(shape) for shape in self._shapes[: self._table])
        self._beside = self.vector.shape[-1] - self._words * self._width
        self._most = most
        self._place = np.empty(self._words, np.int32)

    def own_words(self, data: Bags) -> OwnWords:
        """A client's examples for a narrowed model; raises `BadInput` for a word out of the vocabulary."""
        indices = F.checked_indices(data.indices, self._words, "vocabulary index").astype(np.int64)
        named = np.zeros(self._words, bool)
        named[indices] = True
        rows = np.flatnonzero(named)
        self._place[rows] = np.arange(len(rows), dtype=np.int32)
        return OwnWords(Bags(self._place[indices], data.offsets, data.labels), rows)

    def stacks(self, clients: Mapping[int, OwnWords]) -> Iterator[list[int]]:
        """Which clients to train side by side: those with about equally many rows, and no more than fit the cache."""
        some: list[int] = []
        for number in sorted(clients, key=lambda number: len(clients[number].rows)):
            width = self._beside + len(clients[number].rows) * self._width
            if some and (len(some) == self._most or (len(some) + 1) * width > STACKED_WEIGHTS):
                yield some
                some = []
            some.append(number)
        if some:
            yield some

    def narrow(self, weights: np.ndarray, clients: Sequence[OwnWords]) -> tuple[StackedBags, Support]:
        """Hold the rows of the whole model's weights (P,) that each of K clients names; returns their examples.

        The clients have equally many examples.
        """
        rows = [client.rows for client in clients]
        most = max(map(len, rows))
        support = Support(self._begin, self._begin + self._words * self._width, self._width, most, rows)
        self._shapes[self._table] = (most, self._width)
        self._hold(support.gather(weights))
        return StackedBags.of([client.examples for client in clients]), support
