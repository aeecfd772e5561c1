"""The same numbers in another arrangement: every op here is linear, and its vjp arranges them back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from fedlearn.autograd.arrays import unbroadcast
from fedlearn.autograd.face import function
from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import raw
from fedlearn.errors import ShapeError
from fedlearn.wording import many

Axis = int | tuple[int, ...] | None


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes meant, counted from 0; None means all. Raises `ShapeError` for one that is not there."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    most = max(ndim, 1)
    for i in axes:
        if not -most <= i < most:
            array = f"an array of {many(ndim, 'axis', 'axes')}"
            raise ShapeError(f"{array} has no axis {i}: give {-most} to {most - 1}")
    return tuple(i % ndim for i in axes) if ndim else ()


reshape: Op = Op(
    "reshape",
    lambda x, shape: x.reshape(shape),
    lambda g, y, x, shape: reshape(g, shape=x.shape),
    linear=True,
    view=True,
)
transpose: Op = Op(
    "transpose",
    lambda x, axes: x.transpose(axes),
    lambda g, y, x, axes: transpose(g, axes=tuple(np.argsort([i % x.ndim for i in axes]))),
    linear=True,
    view=True,
)
swapaxes = Op(
    "swapaxes",
    lambda x, first, second: x.swapaxes(first, second),
    lambda g, y, x, first, second: g.swapaxes(first, second),
    linear=True,
    view=True,
)


def _broadcast(x: Any, shape: tuple[int, ...]) -> np.ndarray:
    whole = np.empty(shape, x.dtype)  # for the sizes met here quicker than np.broadcast_to's view
    whole[...] = x
    return whole


broadcast_to = Op(
    "broadcast_to",
    _broadcast,
    lambda g, y, x, shape: unbroadcast(g, x.shape),
    linear=True,
)
flip: Op = Op(
    "flip",
    lambda x, axis=None: np.flip(x, axis),
    lambda g, y, x, axis=None: flip(g, axis=axis),
    linear=True,
    view=True,
)


def _unpad(g: Any, x: Any, widths: Sequence[tuple[int, int]]) -> Any:
    return g[tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))]


pad = Op(
    "pad",
    lambda x, widths, value=0.0: np.pad(x, widths, constant_values=value),
    lambda g, y, x, widths, value=0.0: _unpad(g, x, widths),
    linear=True,
)


def _parts(g: Any, y: Any, *xs: Any, axis: int) -> list[Any]:
    ends = list(accumulate(x.shape[axis] for x in xs))
    return [_slice(g, axis, end - x.shape[axis], end) for x, end in zip(xs, ends, strict=True)]


_join = Op("concatenate", lambda *xs, axis: np.concatenate(xs, axis=axis), joint=_parts, linear=True)


@function
def concatenate(tensors: Sequence[Any], axis: int | None = 0) -> Any:
    """Arrays joined along an axis they have, where the other axes must agree; axis None joins all their numbers."""
    if axis is None:
        return _join(*(reshape(x, shape=(x.size,)) for x in tensors), axis=0)
    return _join(*tensors, axis=axis)


@function
def stack(tensors: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis."""
    tensors = list(tensors)
    shapes = sorted({np.shape(raw(x)) for x in tensors})
    if len(shapes) > 1:
        raise ShapeError(f"stack joins arrays of one shape, these have {', '.join(map(str, shapes))}: see concatenate")
    return _join(*[_widened(x, axis) for x in tensors], axis=axis)


@function
def split(x: Any, sizes: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Consecutive parts along an axis: of `sizes` numbers each (the last may be smaller), or of the sizes listed."""
    length = x.shape[axis]
    if not isinstance(sizes, Sequence | np.ndarray):
        if sizes < 1:
            raise ShapeError(f"split into parts of {sizes}: give a size of at least 1")
        sizes = [min(sizes, length - start) for start in range(0, length, sizes)] or [0]
    if sum(sizes) != length or min(sizes) < 0:
        raise ShapeError(f"split sizes {list(sizes)} do not add up to the {length} of axis {axis} in {x.shape}")
    ends = list(accumulate(sizes))
    return [_slice(x, axis, end - size, end) for size, end in zip(sizes, ends, strict=True)]


@function
def moveaxis(x: Any, source: Axis, destination: Axis) -> Any:
    """With some axes at other places, the rest in their order."""
    moved, places = axes_of(source, x.ndim), axes_of(destination, x.ndim)
    if len(set(moved)) != len(set(places)) or len(set(moved)) != len(moved):
        raise ShapeError(f"moveaxis from {source} to {destination}: give as many axes as places, each once")
    order = [i for i in range(x.ndim) if i not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return transpose(x, axes=tuple(order))


@function
def squeeze(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Without the axes of length 1, or without those named."""
    return reshape(x, shape=raw(x).squeeze(axis).shape)


@function
def unsqueeze(x: Any, axis: int) -> Any:
    """With a new axis of length 1."""
    return _widened(x, axis)


def _widened(x: Any, axis: int) -> Any:
    shape = np.shape(raw(x))
    (place,) = axes_of(axis, len(shape) + 1)
    return reshape(x, shape=(*shape[:place], 1, *shape[place:]))


def _slice(x: Any, axis: int, start: int, end: int) -> Any:
    (axis,) = axes_of(axis, x.ndim)
    return x[(slice(None),) * axis + (slice(start, end),)]
