"""Several clients' examples side by side, for models that train them in one pass.

Stacked clients have equally many examples of one shape: nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedlearn.datasets.bags import Bags
from fedlearn.datasets.examples import Arrays, Examples, Layout, View

Places = np.ndarray | slice


@dataclass(frozen=True, eq=False)
class Stack:
    """K clients' examples, n each: `features` (K, n, ...) and `targets` (K, n, ...). Its length is n."""

    features: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return int(self.targets.shape[1])

    def take(self, order: np.ndarray | slice) -> Stack:
        """The same slice of every client's examples, a view; or (K, m) of them, each client in its own order."""
        if isinstance(order, slice):
            return Stack(self.features[:, order], self.targets[:, order])
        client = np.arange(len(order))[:, None]
        return Stack(self.features[client, order], self.targets[client, order])

    @property
    def inputs(self) -> tuple[np.ndarray]:
        return (self.features,)


@dataclass(frozen=True, eq=False)
class StackedViews:
    """Same as `Stack`, for clients that share arrays: `rows` (K, n) of `whole`, from 0 on.

    Taking some copies no example: they are gathered from `whole` where they are wanted.
    """

    whole: Arrays
    rows: np.ndarray

    @classmethod
    def of(cls, views: Sequence[View]) -> StackedViews:
        """Clients with equally many examples of the same arrays; raises `IndexError` for a row that there is not."""
        rows = np.concatenate([view.rows for view in views]).reshape(len(views), -1)
        return cls.at(views[0].whole, rows)

    @classmethod
    def at(cls, whole: Arrays, rows: np.ndarray) -> StackedViews:
        """Rows (K, n) of whole numbers, of which those below 0 count from the end; `IndexError` as `of`."""
        if rows.dtype.kind != "i" or (
            rows.size and (np.minimum.reduce(rows, None) < 0 or np.maximum.reduce(rows, None) >= len(whole))
        ):
            rows = np.arange(len(whole))[rows]  # counted from the end, or not to be found
        return cls(whole, rows.astype(np.intp))

    def among(self, places: Places) -> StackedViews:
        """The examples of the clients that stand at these places."""
        return StackedViews(self.whole, self.rows[places])

    def __len__(self) -> int:
        return int(self.rows.shape[1])

    def take(self, order: np.ndarray | slice) -> StackedViews:
        if isinstance(order, slice):
            return StackedViews(self.whole, self.rows[:, order])
        clients = np.arange(len(order))[:, None]
        return StackedViews(self.whole, self.rows[clients, order])

    @property
    def inputs(self) -> tuple[np.ndarray]:
        return (self.whole.features.take(self.rows, axis=0),)

    @property
    def targets(self) -> np.ndarray:
        found: np.ndarray = self.whole.targets.take(self.rows, axis=0)
        return found

    @property
    def layout(self) -> Layout:
        """As of a `View`."""
        return self.whole.layout(self.rows.shape)

    def gather(self, places: Sequence[np.ndarray]) -> None:
        """As of a `View`."""
        features, targets = places
        self.whole.features.take(self.rows, 0, features, "clip")  # the rows were checked; so NumPy needs no buffer
        self.whole.targets.take(self.rows, 0, targets, "clip")


@dataclass(frozen=True, eq=False)
class StackedBags:
    """K clients' bags, n each: message i of client k holds `indices[starts[k, i]:starts[k, i] + sizes[k, i]]`.

    indices: (total words,); starts and sizes: int64 (K, n); labels: float32 (K, n). Its length is n. Words are copied
    when they go into a model, and not before.
    """

    indices: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[Bags]) -> StackedBags:
        """Clients with equally many messages."""
        indices = np.concatenate([part.indices for part in parts])
        first = np.cumsum([0, *(len(part.indices) for part in parts[:-1])])
        offsets = np.stack([part.offsets for part in parts])
        labels = np.stack([part.labels for part in parts])
        return cls(indices, offsets[:, :-1] + first[:, None], np.diff(offsets), labels)

    def __len__(self) -> int:
        return int(self.labels.shape[1])

    def take(self, order: np.ndarray | slice) -> StackedBags:
        """Same as `Stack.take`."""
        rows = (np.s_[:], order) if isinstance(order, slice) else (np.arange(len(order))[:, None], order)
        return StackedBags(self.indices, self.starts[rows], self.sizes[rows], self.labels[rows])

    @property
    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """(indices, offsets) as `EmbeddingBag` takes them: all clients' words one after another, and offsets (K, n)."""
        ends = np.cumsum(self.sizes, dtype=np.int64)
        offsets = ends.reshape(self.sizes.shape) - self.sizes
        source = np.repeat(self.starts - offsets, self.sizes.ravel())
        source += np.arange(len(source))
        return self.indices[source], offsets

    @property
    def targets(self) -> np.ndarray:
        return self.labels


def singles(data: Examples, rows: np.ndarray) -> Stack | StackedViews | StackedBags | None:
    """The examples number `rows`, int64 (K,), as those of K clients of one each; None where they cannot be stacked."""
    if isinstance(data, View):
        return StackedViews.at(data.whole, data.rows[rows][:, None])
    if isinstance(data, Arrays):
        return Stack(data.features[rows][:, None], data.targets[rows][:, None])
    if isinstance(data, Bags):
        part = data.take(rows)
        return StackedBags(part.indices, part.offsets[:-1, None], np.diff(part.offsets)[:, None], part.labels[:, None])
    return None


def batch_shape(data: Examples) -> tuple[object, ...] | None:
    """A key that two clients' examples must share to be stacked; None for examples that cannot be stacked.

    Views on the same arrays, arrays of the same shapes and kinds of numbers, or bags; and equally many.
    """
    if isinstance(data, Bags):
        return len(data), Bags
    if isinstance(data, View):
        return len(data.rows), id(data.whole)
    if isinstance(data, Arrays):
        features, targets = data.features, data.targets
        return len(data), features.shape[1:], features.dtype, targets.shape[1:], targets.dtype
    return None


def stack(parts: Sequence[Examples]) -> Stack | StackedViews | StackedBags:
    """One client's examples beside the next one's; all of one `batch_shape`."""
    views = [part for part in parts if isinstance(part, View)]
    if views:
        return StackedViews.of(views)
    bags = [part for part in parts if isinstance(part, Bags)]
    if bags:
        return StackedBags.of(bags)
    return Stack(np.stack([part.inputs[0] for part in parts]), np.stack([part.targets for part in parts]))
