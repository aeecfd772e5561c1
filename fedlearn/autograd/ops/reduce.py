"""Along an axis: sums, extremes, softmax and their kin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops.elementwise import exp
from fedlearn.autograd.ops.shape import broadcast_to, flip, reshape

Axis = int | tuple[int, ...] | None


def _along(g: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    """The gradient (or result) `g` of a reduction of `x`, with the reduced axes put back as 1."""
    if keepdims or axis is None or g.ndim == x.ndim:
        return g
    axes = (axis,) if isinstance(axis, int) else axis
    gone = {i % x.ndim for i in axes}
    return reshape(g, shape=tuple(1 if i in gone else n for i, n in enumerate(x.shape)))


def _count(x: Any, axis: Axis) -> int:
    """How many numbers of `x` go into one of its reduction."""
    if axis is None:
        return x.size
    axes = (axis,) if isinstance(axis, int) else axis
    return math.prod(x.shape[i] for i in axes)


sum_ = Op(
    "sum",
    lambda x, axis=None, keepdims=False: x.sum(axis=axis, keepdims=keepdims),
    lambda g, y, x, axis=None, keepdims=False: broadcast_to(_along(g, x, axis, keepdims), shape=x.shape),
    linear=True,
)
mean = Op(
    "mean",
    lambda x, axis=None, keepdims=False: x.sum(axis=axis, keepdims=keepdims) / _count(x, axis),
    lambda g, y, x, axis=None, keepdims=False: broadcast_to(
        _along(g / _count(x, axis), x, axis, keepdims), shape=x.shape
    ),
    linear=True,
)


def _is_extreme(y: Any, x: Any, axis: Axis, keepdims: bool) -> np.ndarray:
    """Where the extreme was taken from, in equal shares where several are equal."""
    hit = raw(x) == _along(raw(y), x, axis, keepdims)
    return hit / hit.sum(axis=axis, keepdims=True, dtype=raw(x).dtype)


def _extreme_vjp(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    return _along(g, x, axis, keepdims) * _is_extreme(y, x, axis, keepdims)


max_ = Op("max", lambda x, axis=None, keepdims=False: x.max(axis=axis, keepdims=keepdims), _extreme_vjp)
min_ = Op("min", lambda x, axis=None, keepdims=False: x.min(axis=axis, keepdims=keepdims), _extreme_vjp)


def _var_vjp(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False, correction: int = 1) -> Any:
    deviation = x - mean(x, axis=axis, keepdims=True)
    return _along(g, x, axis, keepdims) * deviation * (2 / (_count(x, axis) - correction))


var = Op(
    "var",
    lambda x, axis=None, keepdims=False, correction=1: x.var(axis=axis, keepdims=keepdims, ddof=correction),
    _var_vjp,
)
cumsum: Op = Op(
    "cumsum",
    lambda x, axis: np.cumsum(x, axis=axis),
    lambda g, y, x, axis: flip(cumsum(flip(g, axis=axis), axis=axis), axis=axis),
    linear=True,
)


def _logsumexp(x: np.ndarray, axis: int = -1, keepdims: bool = False) -> np.ndarray:
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)  # a row of -inf has the sum 0, not nan
    result = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return result if keepdims else result.squeeze(axis)


def _softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    weights /= weights.sum(axis=axis, keepdims=True)
    return weights


logsumexp = Op(
    "logsumexp",
    _logsumexp,
    lambda g, y, x, axis=-1, keepdims=False: _along(g, x, axis, keepdims) * exp(x - _along(y, x, axis, keepdims)),
)
softmax = Op(
    "softmax",
    _softmax,
    lambda g, y, x, axis=-1: y * (g - (g * y).sum(axis=axis, keepdims=True)),
)
log_softmax = Op(
    "log_softmax",
    lambda x, axis=-1: x - _logsumexp(x, axis, keepdims=True),
    lambda g, y, x, axis=-1: g - exp(y) * g.sum(axis=axis, keepdims=True),
)
