"""Embeddings cut down to the rows that one client uses, for as long as it trains.

A client's messages name a few hundred words of a vocabulary of many thousands. On a compact copy of just those
rows every step works in the cache. The support is for this client's eyes only: which rows it uses says which
words it has, so what leaves a client is the dense vector of the whole model.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np

from fedlearn.autograd import watch
from fedlearn.autograd.tensor import next_id
from fedlearn.errors import BadInput
from fedlearn.nn import functional as F
from fedlearn.nn.layers import Embedding, EmbeddingBag
from fedlearn.nn.parameter import Parameter


class LocalRows:
    """`with LocalRows(layer, indices) as local:` the layer holds only the rows that `indices` name.

    `local(indices)` are their numbers in the compact weight. Make the optimizer within the block: it sees the
    compact weight. On leaving, the rows go back into the whole weight, unless an exception is under way.
    Exact for rules that leave a row alone whose gradient is 0: SGD with or without momentum, Adam from its
    beginning, but not weight decay. `module.vector` has no meaning within the block.
    """

    def __init__(self, layer: Embedding | EmbeddingBag, indices: Any):
        if not isinstance(layer, Embedding | EmbeddingBag):
            raise BadInput(f"LocalRows takes an Embedding or an EmbeddingBag, not a {type(layer).__name__}")
        self.layer = layer
        self.whole = layer.weight
        self.rows = np.unique(F.checked_indices(indices, len(layer.weight), "row index"))
        self.place = np.full(len(layer.weight), -1, np.int64)
        self.place[self.rows] = np.arange(len(self.rows))

    def __call__(self, indices: Any) -> np.ndarray:
        """The compact numbers of whole-vocabulary `indices`; `BadInput` for a row that is not held."""
        local = self.place[F.checked_indices(indices, len(self.place), "row index")]
        if local.size and local.min() < 0:
            raise BadInput("an index names a row outside the local vocabulary: make LocalRows with all indices used")
        return local

    def __enter__(self) -> Self:
        self.layer.weight = Parameter(self.whole.numpy()[self.rows])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        compact, self.layer.weight = self.layer.weight, self.whole
        if kind is None:
            self.whole._data[self.rows] = compact.numpy()
            watch.announce(self.whole, next_id())
