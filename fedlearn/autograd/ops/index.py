"""Taking out and putting back: indexing, and the scattering that is its mirror image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.autograd.face import function
from fedlearn.autograd.graph import Fused, Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops.select import masked
from fedlearn.autograd.ops.shape import axes_of
from fedlearn.autograd.places import indices as whole_numbers
from fedlearn.autograd.rows import RowSparse
from fedlearn.errors import BadInput, ShapeError
from fedlearn.wording import many


def _repeats(index: Any) -> bool:
    """True where an index may name a place twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, np.ndarray) for part in parts)


def _scatter(g: np.ndarray, index: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros of `shape` with `g` added at `index`; an element named twice receives both."""
    whole = np.zeros(shape, g.dtype)
    if _repeats(index):
        np.add.at(whole, index, g)
    else:
        whole[index] = g
    return whole


getitem: Op = Op(
    "getitem",
    lambda x, index: x[index],
    lambda g, y, x, index: scatter(g, index=index, shape=x.shape),
    linear=True,
    view=True,
)
scatter: Op = Op("scatter", _scatter, lambda g, y, x, index, shape: g[index], linear=True)

nth = Op(
    "nth",
    lambda x, place: x[place : place + 1].copy(),
    lambda g, y, x, place: scatter(g, index=slice(place, place + 1), shape=x.shape),
    linear=True,
)
"""One slice of the first axis, x (n, ...) -> (1, ...), in memory of its own."""


@function
def gather(x: Any, axis: int, index: Any) -> Any:
    """Numbers by their place along an axis: result[i][j] = x[index[i][j]][j] for axis 0, of the shape of `index`.

    `index` has as many axes as `x`, and in the other ones is no longer than it (PyTorch's gather).
    """
    places = np.asarray(raw(index))
    if not x.ndim or places.ndim != x.ndim or places.dtype.kind not in "iu":
        raise BadInput(
            f"gather takes whole numbers of {many(x.ndim, 'axis', 'axes')}, not {places.dtype} of shape {places.shape}"
        )
    mesh: list[Any] = list(np.ogrid[tuple(slice(n) for n in places.shape)])
    mesh[axis] = places
    return getitem(x, index=tuple(mesh))


def _winners(index: Any, shape: tuple[int, ...], count: tuple[int, ...]) -> Any:
    """Of the values (count) written at `index`, which stay: where a place is named twice, the last does."""
    numbers = np.arange(math.prod(count)).reshape(count)
    written = np.zeros(shape, np.int64)
    written[index] = numbers
    return written[index] == numbers


def _setitem(x: np.ndarray, value: Any, index: Any) -> np.ndarray:
    whole = x.copy()
    whole[index] = value
    return whole


def _written_vjp(g: Any, y: Any, x: Any, value: Any, index: Any) -> Any:
    taken = getitem(g, index=index)
    return masked(_winners(index, x.shape, taken.shape), taken) if _repeats(index) else taken


setitem: Op = Op(
    "setitem",
    _setitem,
    lambda g, y, x, value, index: setitem(g, 0.0, index=index),
    _written_vjp,
    linear=True,
)
"""`x` with `value` at an index."""


@function
def index_add(x: Any, axis: int, index: Any, source: Any) -> Any:
    """`x` with the slices of `source` added at the positions `index` (n,) of an axis; repeats add up."""
    (axis,) = axes_of(axis, x.ndim)
    where = (slice(None),) * axis + (np.asarray(raw(index)),)
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


def _take(weight: np.ndarray, indices: np.ndarray) -> tuple[Any, None]:
    if not weight.ndim:
        raise ShapeError("take from a number: rows are taken from an array of at least one axis")
    return weight.take(whole_numbers(indices, "row to take"), axis=0), None


def _take_joint(g: np.ndarray, kept: None, weight: np.ndarray, indices: np.ndarray) -> list[Any]:
    numbers = whole_numbers(indices, "row to take")
    rows = g.reshape(numbers.size, *weight.shape[1:])
    return [RowSparse.gather(numbers.ravel(), rows, weight.shape)]


take = Fused(
    "take",
    _take,
    _take_joint,
    lambda weight, indices: weight[indices],
    floats=False,
)
"""Rows of a matrix, (V, ...)[indices] -> (*indices.shape, ...), whose gradient is carried as rows."""
