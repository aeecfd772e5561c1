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
from weakref import WeakKeyDictionary

import numpy as np

from fedlearn.autograd.sparse import add_to_known_rows, singles
from fedlearn.datasets.bags import Bags
from fedlearn.models.base import Model
from fedlearn.nn import functional as F
from fedlearn.training.flat import STACKED_WEIGHTS, FlatModel
from fedlearn.training.recorded import Recorded
from fedlearn.training.stacks import StackedBags

MANY = 128  # rows of one client, that a few more are added to; of fewer an error says the number as it is
ROOMS = 6  # shapes of stacks whose memory and recorded steps are kept
LARGEST = 4 * STACKED_WEIGHTS  # weights that all of them may hold
KNOWN = 64 << 20  # bytes of clients' own words that are remembered between rounds


@dataclass(frozen=True, eq=False)
class OwnWords:
    """One client's examples in the numbers of its own words, which are the table's `rows`: int64 (U,), ascending.

    indices: those of the examples as they were when this was made.
    """

    examples: Bags
    rows: np.ndarray
    indices: np.ndarray

    def are_of(self, data: Bags) -> bool:
        """True where these are still the words of `data`, whose arrays its owner may have changed."""
        same = self.examples.offsets is data.offsets and self.examples.labels is data.labels
        return same and np.array_equal(self.indices, data.indices)

    @property
    def bytes(self) -> int:
        return self.examples.indices.nbytes + self.rows.nbytes + self.indices.nbytes


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

    def gather(self, whole: np.ndarray, short: np.ndarray) -> None:
        """Fill the short vectors from a long one, with 0 where a client has fewer rows than there is room for."""
        short[:, : self.begin] = whole[: self.begin]
        short[:, self.stop :] = whole[self.end :]
        table = whole[self.begin : self.end].reshape(-1, self.width)
        for one, rows, own in zip(short, self.rows, self._tables(short), strict=True):
            table.take(rows, axis=0, out=own, mode="clip")
            one[self.begin + own.size : self.stop] = 0

    def add_to(self, whole: np.ndarray, short: np.ndarray) -> None:
        """Add the short vectors to a long one of their dtype, in place."""
        whole[: self.begin] += short[:, : self.begin].sum(axis=0, dtype=short.dtype)
        whole[self.end :] += short[:, self.stop :].sum(axis=0, dtype=short.dtype)
        table = whole[self.begin : self.end].reshape(-1, self.width)
        for rows, own in zip(self.rows, self._tables(short), strict=True):
            add_to_known_rows(table, rows, singles(len(rows)), own)

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


@dataclass(frozen=True, eq=False)
class Room:
    """The memory of stacks of one shape: its vector (K, m), the parameters' views of it, and their recorded steps."""

    vector: np.ndarray
    views: Sequence[np.ndarray]
    frozen: np.ndarray | None
    recorded: Recorded | None


class NarrowModel(FlatModel):
    """Copies of `model`, one with a `vocabulary`, that hold only the rows which each client's examples name.

    Exact for training that leaves a weight alone whose gradient is always 0: no weight decay. `most` copies at once,
    or as many as fit the cache. What a client's words are is remembered for as long as its examples are there, and
    stacks of a shape that was there before take its steps from the record.
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
        self._rooms: dict[tuple[int, int], Room] = {}
        self._known: WeakKeyDictionary[Bags, OwnWords] = WeakKeyDictionary()
        self._known_bytes = 0

    def own_words(self, data: Bags) -> OwnWords:
        """A client's examples for a narrowed model; raises `BadInput` for a word out of the vocabulary."""
        known = self._known.get(data)
        if known is not None and known.are_of(data):
            return known
        indices = F.checked_indices(data.indices, self._words, "vocabulary index").astype(np.int64)
        named = np.zeros(self._words, bool)
        named[indices] = True
        rows = np.flatnonzero(named)
        self._place[rows] = np.arange(len(rows), dtype=np.int32)
        own = OwnWords(Bags(self._place[indices], data.offsets, data.labels), rows, data.indices.copy())
        self._known_bytes += own.bytes
        if self._known_bytes > KNOWN:
            self._known.clear()
            self._known_bytes = own.bytes
        self._known[data] = own
        return own

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
        if len(rows) > 1 or most >= MANY:
            most = _rounded_up(most)
        support = Support(self._begin, self._begin + self._words * self._width, self._width, most, rows)
        self._enter(len(rows), most)
        support.gather(weights, self.vector)
        self._note_frozen()
        return StackedBags.of([client.examples for client in clients]), support

    def _enter(self, copies: int, most: int) -> None:
        """Have the parameters show the memory of stacks of so many clients with so many rows."""
        room = self._rooms.pop((copies, most), None)
        if room is None:
            room = self._made(copies, most)
            while self._rooms and (len(self._rooms) == ROOMS or self._held() + room.vector.size > LARGEST):
                del self._rooms[next(iter(self._rooms))]
        self._rooms[copies, most] = room  # the last entered is the last to go
        self.vector, self.frozen, self._recorded = room.vector, room.frozen, room.recorded
        for parameter, view in zip(self._parameters, room.views, strict=True):
            parameter._data = view

    def _made(self, copies: int, most: int) -> Room:
        """Each client's weights begin a whole number of rows after another's, so that one table shows all of theirs."""
        self._shapes[self._table] = (most, self._width)
        weights = self._beside + most * self._width
        memory = np.zeros((copies, -(-weights // self._width) * self._width), np.float32)
        self._hold(memory[:, :weights])
        return Room(self.vector, [parameter._data for parameter in self._parameters], self.frozen, self._recorded)

    def _held(self) -> int:
        return sum(room.vector.size for room in self._rooms.values())


def _rounded_up(rows: int) -> int:
    """Room for so many rows, and a few more: of all numbers there are only so many, and their steps recur."""
    step = 1 << max(0, rows.bit_length() - 4)
    return -(-rows // step) * step
