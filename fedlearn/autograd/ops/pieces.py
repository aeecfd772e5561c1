"""Parts of arrays put elsewhere: repeated, shifted, taken from diagonals and triangles. Composed of ops on shapes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from fedlearn.autograd.face import function
from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops.index import getitem, scatter
from fedlearn.autograd.ops.reduce import sum_
from fedlearn.autograd.ops.select import where
from fedlearn.autograd.ops.shape import Axis, axes_of, broadcast_to, concatenate, moveaxis, reshape
from fedlearn.errors import ShapeError

roll_: Op = Op(
    "roll",
    lambda x, shift, axis=None: np.roll(x, shift, axis),
    lambda g, y, x, shift, axis=None: roll_(g, shift=tuple(-n for n in np.atleast_1d(shift)), axis=_many(axis, shift)),
    linear=True,
)


def _many(axis: Any, shift: Any) -> Any:
    return axis if axis is None else tuple(np.broadcast_to(axis, np.shape(np.atleast_1d(shift))))


@function
def roll(x: Any, shifts: Any, axis: Axis = None) -> Any:
    """The numbers moved along an axis, those beyond the end to the beginning; without an axis in the flat array."""
    if axis is None and np.ndim(shifts):
        raise ShapeError(f"roll by several shifts {shifts} needs as many axes")
    whole = [index(n) for n in np.atleast_1d(shifts).tolist()]
    return roll_(x, shift=tuple(whole) if np.ndim(shifts) else whole[0], axis=axis)


@function
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each number (or slice along the axis) several times, one after another (NumPy's repeat)."""
    if axis is None:
        x, axis = reshape(x, shape=(-1,) if x.size else (0,)), 0
    (axis,) = axes_of(axis, x.ndim)
    places = np.repeat(np.arange(x.shape[axis]), repeats)
    return getitem(x, index=(slice(None),) * axis + (places,))


@function
def tile(x: Any, times: Any) -> Any:
    """The whole array several times along each of its last axes, or along new ones before them."""
    counts = tuple(index(n) for n in np.atleast_1d(times).tolist())
    counts = (1,) * (x.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - x.ndim) + tuple(x.shape)
    if min(counts, default=1) < 0:
        raise ShapeError(f"tile by {counts}: give counts of at least 0")
    paired = tuple(n for pair in zip(counts, shape, strict=True) for n in pair)
    lined_up = reshape(x, shape=tuple(n for size in shape for n in (1, size)))
    whole = tuple(count * size for count, size in zip(counts, shape, strict=True))
    return reshape(broadcast_to(lined_up, shape=paired), shape=whole)


@function
def diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """Differences of neighbours along an axis, n times over."""
    if n < 0:
        raise ShapeError(f"diff of order {n}: give an order of at least 0")
    (axis,) = axes_of(axis, x.ndim)
    ahead = (slice(None),) * axis
    for _ in range(min(n, x.shape[axis])):  # nothing is left after so many
        x = x[(*ahead, slice(1, None))] - x[(*ahead, slice(None, -1))]
    return x


@function
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The numbers x[i, i + offset] of two axes, along a new last one."""
    first, second = axes_of((axis1, axis2), x.ndim)
    if first == second:
        raise ShapeError(f"the diagonal of axes {axis1} and {axis2}: give two that differ")
    moved = moveaxis(x, (first, second), (-2, -1))
    return getitem(moved, index=(..., *_diagonal_places(moved.shape[-2], moved.shape[-1], offset)))


def _diagonal_places(rows: int, columns: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
    start = max(0, -offset)
    places = np.arange(start, max(start, min(rows, columns - offset)))
    return places, places + offset


@function
def diag(x: Any, offset: int = 0) -> Any:
    """A vector as the diagonal of a matrix of zeros, or the diagonal of a matrix."""
    if x.ndim == 2:
        return diagonal(x, offset)
    if x.ndim != 1:
        raise ShapeError(f"diag takes a vector or a matrix, not an array of shape {x.shape}")
    size = len(x) + abs(offset)
    return scatter(x, index=_diagonal_places(size, size, offset), shape=(size, size))


@function
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal."""
    return sum_(diagonal(x, offset, axis1, axis2), axis=-1)


@function
def tril(x: Any, diagonal: int = 0) -> Any:
    """The last two axes' lower triangle, the rest 0."""
    return where(np.tri(*_matrix(x, "tril"), index(diagonal), dtype=bool), x, np.zeros((), x.dtype))


@function
def triu(x: Any, diagonal: int = 0) -> Any:
    """The last two axes' upper triangle, the rest 0."""
    return where(np.tri(*_matrix(x, "triu"), index(diagonal) - 1, dtype=bool), np.zeros((), x.dtype), x)


def _matrix(x: Any, name: str) -> tuple[int, int]:
    if x.ndim < 2:
        raise ShapeError(f"{name} takes matrices, not an array of shape {x.shape}")
    return x.shape[-2], x.shape[-1]


@function
def hstack(tensors: Sequence[Any]) -> Any:
    """Joined along the second axis, vectors along their only one."""
    parts = _at_least(tensors, 1)
    return concatenate(parts, axis=0 if parts[0].ndim == 1 else 1)


@function
def vstack(tensors: Sequence[Any]) -> Any:
    """Joined along the first axis, vectors as rows."""
    return concatenate(_at_least(tensors, 2), axis=0)


def _at_least(tensors: Sequence[Any], axes: int) -> list[Any]:
    shapes = [np.shape(raw(x)) for x in tensors]
    return [reshape(x, shape=(1,) * (axes - len(shape)) + shape) for x, shape in zip(tensors, shapes, strict=True)]
