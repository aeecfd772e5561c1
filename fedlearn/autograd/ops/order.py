"""Comparing along an axis: extremes, sorting, and what stands at which place."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.face import function
from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops.index import gather
from fedlearn.autograd.ops.select import masked
from fedlearn.autograd.ops.shape import Axis, axes_of, reshape
from fedlearn.errors import BadInput
from fedlearn.wording import many


def along(g: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """The gradient (or result) `g` of a reduction of `x`, with the reduced axes put back as 1."""
    if keepdims or axis is None or g.ndim == x.ndim:
        return g
    gone = axes_of(axis, x.ndim)
    return reshape(g, shape=tuple(1 if i in gone else n for i, n in enumerate(x.shape)))


def _hits(y: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """Mark the places of the extreme: all that equal it, and all that are nan where it is."""
    values, extreme = raw(x), raw(along(y, x, axis, keepdims))
    return (values == extreme) | (np.isnan(values) & np.isnan(extreme))


def _even_vjp(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The gradient in equal shares for all that are the extreme."""
    hits = _hits(y, x, axis, keepdims)
    return masked(hits, along(g, x, axis, keepdims) / hits.sum(axis=axis, keepdims=True).astype(raw(x).dtype))


def _extreme_vjp(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Along one axis the first that is the extreme has the gradient; over all, each has an equal share."""
    if axis is None or isinstance(axis, tuple):
        return _even_vjp(g, y, x, axis, keepdims)
    hits = _hits(y, x, axis, keepdims)
    return masked(hits & (hits.cumsum(axis=axis) == 1), along(g, x, axis, keepdims))


max_ = Op("max", lambda x, axis=None, keepdims=False: x.max(axis=axis, keepdims=keepdims), _extreme_vjp)
min_ = Op("min", lambda x, axis=None, keepdims=False: x.min(axis=axis, keepdims=keepdims), _extreme_vjp)
amax = Op("amax", lambda x, axis=None, keepdims=False: x.max(axis=axis, keepdims=keepdims), _even_vjp)
amin = Op("amin", lambda x, axis=None, keepdims=False: x.min(axis=axis, keepdims=keepdims), _even_vjp)


@function
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the largest number along an axis, or in the flat array; of equal ones the first."""
    return raw(x).argmax(axis=axis, keepdims=keepdims)


@function
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the smallest number along an axis, or in the flat array; of equal ones the first."""
    return raw(x).argmin(axis=axis, keepdims=keepdims)


@function
def argsort(x: Any, axis: int = -1, descending: bool = False) -> Any:
    """The places of the numbers in order; equal ones keep theirs, nan counts as the largest."""
    values = raw(x)
    if not values.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(values, axis=axis, kind="stable")
    return values.shape[axis] - 1 - np.flip(np.argsort(np.flip(values, axis), axis=axis, kind="stable"), axis)


@function
def sort(x: Any, axis: int = -1, descending: bool = False) -> Any:
    """The numbers along an axis in order."""
    if axis is None:
        raise BadInput("sort goes along an axis: give one, or reshape(-1) first for all numbers")
    return gather(x, axis, argsort(x, axis, descending)) if x.ndim else x


@function
def topk(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Any, np.ndarray]:
    """The k largest (or smallest) numbers along an axis, the first of them first, and their places."""
    if not 0 <= k <= x.shape[axis]:
        raise BadInput(f"topk of {k} among {many(x.shape[axis], 'number')}: give a k from 0 to {x.shape[axis]}")
    places = np.take(argsort(x, axis, largest), np.arange(k), axis=axis)
    return gather(x, axis, places), places
