"""Examples as arrays: what a client trains on.

`Examples` is all that local training asks of data: how many there are, some of them, the arrays that go into a model,
and the targets that should come out. A class with these four members is a data set of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedlearn.checked import as_array, taken
from fedlearn.errors import BadInput, ShapeError
from fedlearn.wording import many

Layout = tuple[tuple[tuple[int, ...], np.dtype], ...]  # the shapes and precisions of some arrays


class Examples(Protocol):
    """Examples of any kind. A slice of step 1 is taken as a view of the arrays, an index array as a copy."""

    def __len__(self) -> int: ...

    def take(self, order: np.ndarray | slice) -> Examples: ...

    @property
    def inputs(self) -> tuple[np.ndarray, ...]:
        """The positional arguments of the model's forward pass."""
        ...

    @property
    def targets(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Arrays:
    """Dense examples: `features` of shape (n, ...) and `targets` of shape (n, ...)."""

    features: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        for name in ("features", "targets"):
            if not isinstance(getattr(self, name), np.ndarray):
                object.__setattr__(self, name, as_array(name, getattr(self, name)))
        if not (self.features.ndim and self.targets.ndim):
            raise ShapeError("features and targets are single numbers: give arrays (n, ...), one row an example")
        if len(self.features) != len(self.targets):
            raise ShapeError(
                f"{many(len(self.features), 'example')} but {many(len(self.targets), 'target')}: give one for each"
            )

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        """How much there is, never what."""
        return f"<Arrays: {many(len(self), 'example')} of shape {self.features.shape[1:]}>"

    def take(self, order: np.ndarray | slice) -> Arrays:
        """The examples at `order`, in that order."""
        if not isinstance(order, slice | np.ndarray) or (isinstance(order, np.ndarray) and order.ndim != 1):
            order = taken("order", order, len(self))
        found = object.__new__(Arrays)  # what was checked once is not checked for every batch
        try:
            found.__dict__.update(features=self.features[order], targets=self.targets[order])
        except (IndexError, TypeError) as error:
            raise BadInput(f"examples at {order!r:.60} cannot be taken out of {len(self)}: {error}") from None
        return found

    @property
    def inputs(self) -> tuple[np.ndarray]:
        return (self.features,)

    def layout(self, shape: tuple[int, ...]) -> Layout:
        """Shapes and precisions of the arrays of so many examples: the inputs, then the targets."""
        features, targets = self.features, self.targets
        return (shape + features.shape[1:], features.dtype), (shape + targets.shape[1:], targets.dtype)


@dataclass(eq=False, slots=True)  # not frozen: thousands are made a second, and that takes three times as long
class View:
    """The examples number `rows`, int64 (n,), of `whole`; a row may occur more than once.

    Taking some copies no example: they are gathered from `whole` where they are wanted.
    """

    whole: Arrays
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<View: {len(self):,} of {many(len(self.whole), 'example')}>"

    def take(self, order: np.ndarray | slice) -> View:
        return View(self.whole, self.rows[order])

    @property
    def inputs(self) -> tuple[np.ndarray]:
        return self.whole.take(self.rows).inputs

    @property
    def targets(self) -> np.ndarray:
        found: np.ndarray = self.whole.targets[self.rows]
        return found

    @property
    def layout(self) -> Layout:
        """The shapes and precisions of the features and the targets."""
        return self.whole.layout(self.rows.shape)

    def gather(self, places: Sequence[np.ndarray]) -> None:
        """Write the features and the targets into arrays of that layout."""
        features, targets = places
        self.whole.features.take(self.rows, 0, features)
        self.whole.targets.take(self.rows, 0, targets)
