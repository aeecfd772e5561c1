"""Layers that look rows up: embeddings, and bags of them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fedlearn.checked import flag
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn import functional as F
from fedlearn.nn import init
from fedlearn.nn.functional.arguments import floats, whole
from fedlearn.nn.layers import empty
from fedlearn.nn.module import Module


class _Table(Module):
    """A weight (num_embeddings, embedding_dim), drawn from a normal distribution; the padding row is 0."""

    def _make(self, num: int, dim: int, padding_idx: int | None, rng: np.random.Generator | None) -> None:
        num, dim = whole(num, "num_embeddings", 0), whole(dim, "embedding_dim", 0)
        self.weight = init.normal_(empty(num, dim), rng=rng)
        self.padding_idx = None
        if padding_idx is not None:
            number = whole(padding_idx, "padding_idx")
            if not -num <= number < num:
                raise BadInput(f"padding_idx {number} is out of range: give {-num} to {num - 1}")
            self.padding_idx = number % num
            self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **options: Any) -> Self:
        """With these rows (num_embeddings, embedding_dim), which training leaves alone if `freeze`."""
        rows = floats(embeddings, "embeddings")
        if rows.ndim != 2:
            raise ShapeError(f"embeddings are (num_embeddings, embedding_dim), these have shape {rows.shape}")
        layer = cls(*rows.shape, **options).to(rows.dtype)
        layer.weight[...] = rows
        layer.weight.requires_grad_(not flag("from_pretrained's freeze", freeze))
        return layer


class Embedding(_Table):
    """Whole numbers (...) -> rows (..., embedding_dim) of weight (num_embeddings, embedding_dim).

    padding_idx: a row that begins with 0 and is not trained.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        rng: np.random.Generator | None = None,
    ):
        self._make(num_embeddings, embedding_dim, padding_idx, rng)

    def forward(self, input: Any) -> Any:
        return F.embedding(input, self.weight, self.padding_idx)


class EmbeddingBag(_Table):
    """Bags of whole numbers -> sums or means (B, embedding_dim) of rows of weight (num_embeddings, embedding_dim).

    padding_idx: an index that counts for nothing. include_last_offset: as in `F.embedding_bag`.
    """

    stackable = True
    replayable = True

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "mean",
        *,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        rng: np.random.Generator | None = None,
    ):
        if mode not in ("sum", "mean"):
            raise BadInput(f"unknown embedding bag mode {mode!r:.60}: choose sum or mean")
        self._make(num_embeddings, embedding_dim, padding_idx, rng)
        self.mode = mode
        self.include_last_offset = include_last_offset

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        """input (n,) with offsets (B,), or (B, n) without."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )
