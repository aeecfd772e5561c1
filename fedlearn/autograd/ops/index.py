"""Taking out and putting back: indexing, and the scattering that is its mirror image."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused, Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.rows import RowSparse


def _scatter(g: np.ndarray, index: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros of `shape` with `g` added at `index`; an element named twice receives both."""
    whole = np.zeros(shape, g.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, np.ndarray) for part in parts):
        np.add.at(whole, index, g)
    else:
        whole[index] = g
    return whole


getitem: Op = Op(
    "getitem",
    lambda x, index: x[index],
    lambda g, y, x, index: scatter(g, index=index, shape=x.shape),
    linear=True,
)
scatter: Op = Op("scatter", _scatter, lambda g, y, x, index, shape: g[index], linear=True)


def index_add(x: Any, axis: int, index: Any, source: Any) -> Any:
    """`x` with the slices of `source` added at the positions `index` (n,) of an axis; repeats add up."""
    where = (slice(None),) * (axis % x.ndim) + (np.asarray(raw(index)),)
    return x + scatter(source, index=where, shape=x.shape)


def _place(g: np.ndarray, index: np.ndarray, length: int) -> np.ndarray:
    whole = np.zeros((*g.shape, length), g.dtype)
    np.put_along_axis(whole, index[..., None], g[..., None], axis=-1)
    return whole


pick: Op = Op(
    "pick",
    lambda x, index: np.take_along_axis(x, index[..., None], axis=-1)[..., 0],
    lambda g, y, x, index: place(g, index=index, length=x.shape[-1]),
    linear=True,
)
"""One number from each row: x (..., n) at index (...), whole numbers, gives (...)."""

place: Op = Op("place", _place, lambda g, y, x, index, length: pick(g, index=index), linear=True)
"""The way back: zeros (..., length) with one number in each row."""


def _take_joint(g: np.ndarray, kept: None, weight: np.ndarray, indices: np.ndarray) -> list[Any]:
    rows = g.reshape(indices.size, *weight.shape[1:])
    return [RowSparse.gather(indices.ravel(), rows, weight.shape)]


take = Fused(
    "take",
    lambda weight, indices: (weight.take(indices, axis=0), None),
    _take_joint,
    lambda weight, indices: weight[indices],
)
"""Rows of a matrix, (V, ...)[indices] -> (*indices.shape, ...), whose gradient is carried as rows."""
