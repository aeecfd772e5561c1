"""Along an axis, or over all: sums, products, means, variances, norms, softmax and their kin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.autograd.face import function
from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops.elementwise import abs_, exp, power
from fedlearn.autograd.ops.order import along, amax, amin
from fedlearn.autograd.ops.select import masked, where
from fedlearn.autograd.ops.shape import Axis, axes_of, broadcast_to, concatenate, flip, moveaxis, reshape, stack
from fedlearn.errors import BadInput


def _count(x: Any, axis: Axis) -> int:
    """How many numbers of `x` go into one of its reduction."""
    return math.prod(x.shape[i] for i in axes_of(axis, x.ndim))


sum_ = Op(
    "sum",
    lambda x, axis=None, keepdims=False: np.add.reduce(x, axis, keepdims=keepdims),  # as x.sum, called directly
    lambda g, y, x, axis=None, keepdims=False: broadcast_to.directly(along(g, x, axis, keepdims), shape=x.shape),
    linear=True,
)
mean = Op(
    "mean",
    lambda x, axis=None, keepdims=False: x.sum(axis=axis, keepdims=keepdims) / _count(x, axis),
    lambda g, y, x, axis=None, keepdims=False: broadcast_to.directly(
        along(g / _count(x, axis), x, axis, keepdims), shape=x.shape
    ),
    linear=True,
    floats=True,
)


def _var(x: np.ndarray, axis: Axis = None, keepdims: bool = False, correction: float = 1) -> Any:
    if _count(x, axis) > correction:
        return x.var(axis=axis, keepdims=keepdims, ddof=correction)
    return x.sum(axis=axis, keepdims=keepdims) * math.nan  # of one value, as of none, there is no variance


def _var_vjp(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False, correction: float = 1) -> Any:
    deviation = x - mean(x, axis=axis, keepdims=True)
    freedom = _count(x, axis) - correction
    return along(g, x, axis, keepdims) * deviation * (2 / freedom if freedom > 0 else math.nan)


def _std_vjp(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False, correction: float = 1) -> Any:
    """Half of the variance's over y; 0 where all are equal."""
    varies = raw(y) != 0
    return _var_vjp(masked(varies, g / where(varies, 2 * y, 1.0)), y, x, axis, keepdims, correction)


var = Op("var", _var, _var_vjp, floats=True)
std = Op(
    "std",
    lambda x, axis=None, keepdims=False, correction=1: np.sqrt(_var(x, axis, keepdims, correction)),
    _std_vjp,
    floats=True,
)


def _running(function: Any) -> Any:
    """A cumulative function of NumPy's along one axis, of a number as well."""

    def forward(x: np.ndarray, axis: int) -> np.ndarray:
        if axis is None:
            raise BadInput(f"{function.__name__} goes along an axis: give one, or reshape(-1) first for all numbers")
        return np.asarray(function(x, axis=axis).reshape(x.shape))

    return forward


cumsum: Op = Op(
    "cumsum",
    _running(np.cumsum),
    lambda g, y, x, axis: _from_end(g, axis),
    linear=True,
)


def _before(x: Any) -> Any:
    """For each number along the last axis, the product of those before it; of none it is 1."""
    return concatenate([np.ones_like(raw(x)[..., :1]), cumprod(x, axis=-1)[..., :-1]], axis=-1)


def _divides(products: Any, x: Any) -> bool:
    """True where a factor can be divided out of the products: none is 0, and no product has overflowed."""
    return bool((raw(x) != 0).all() and (raw(products) != 0).all() and np.isfinite(raw(products)).all())


def _prod_vjp(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The product of all others: y / x, or where that has no digits the product of those before and those behind."""
    g = along(g, x, axis, keepdims)
    if _divides(y, x):
        return g * (along(y, x, axis, keepdims) / x)
    axes = axes_of(axis, x.ndim)
    last = tuple(range(-len(axes), 0))
    lined = moveaxis(x, axes, last)
    flat = reshape(lined, shape=(*lined.shape[: x.ndim - len(axes)], _count(x, axis)))
    products = _before(flat) * flip(_before(flip(flat, axis=-1)), axis=-1)
    return g * moveaxis(products.reshape(lined.shape), last, axes)


prod: Op = Op("prod", lambda x, axis=None, keepdims=False: x.prod(axis=axis, keepdims=keepdims), _prod_vjp)


def _cumprod_vjp(g: Any, y: Any, x: Any, axis: int) -> Any:
    if not x.ndim:
        return g
    if _divides(y, x):
        return _from_end(g * y, axis) / x
    x, g = moveaxis(x, axis, -1), moveaxis(g, axis, -1)
    sums = [g[..., -1]]  # of the products that hold a number, without what stands before it and itself
    for i in range(x.shape[-1] - 1, 0, -1):
        sums.append(g[..., i - 1] + x[..., i] * sums[-1])
    return moveaxis(_before(x) * stack(sums[::-1], axis=-1), -1, axis)


def _from_end(x: Any, axis: int) -> Any:
    """Cumulative sums that begin at the end."""
    return x if not x.ndim else flip(cumsum(flip(x, axis=axis), axis=axis), axis=axis)


cumprod: Op = Op("cumprod", _running(np.cumprod), _cumprod_vjp)


def _logsumexp(x: np.ndarray, axis: int = -1, keepdims: bool = False) -> Any:
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)  # a row of -inf has the sum 0, not nan
    total = np.exp(x - top).sum(axis=axis, keepdims=keepdims)
    return np.log(total) + (top if keepdims else top.squeeze(axis))


def _softmax(x: np.ndarray, axis: int = -1) -> Any:
    weights = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    weights /= weights.sum(axis=axis, keepdims=True)
    return weights


logsumexp = Op(
    "logsumexp",
    _logsumexp,
    lambda g, y, x, axis=-1, keepdims=False: along(g, x, axis, keepdims) * exp(x - along(y, x, axis, keepdims)),
    floats=True,
)


def _log_softmax(x: np.ndarray, axis: int = -1) -> Any:
    below = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
    return below - np.log(np.exp(below).sum(axis=axis, keepdims=True))


softmax = Op(
    "softmax",
    _softmax,
    lambda g, y, x, axis=-1: y * (g - (g * y).sum(axis=axis, keepdims=True)),
    floats=True,
)


log_softmax = Op(
    "log_softmax",
    _log_softmax,
    lambda g, y, x, axis=-1: g - exp(y) * g.sum(axis=axis, keepdims=True),
    floats=True,
)


def _norm2_vjp(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    nonzero = raw(along(y, x, axis, keepdims)) != 0
    length = where(nonzero, along(y, x, axis, keepdims), 1.0)
    return masked(nonzero, along(g, x, axis, keepdims) * (x / length))


_norm2 = Op(
    "norm",
    lambda x, axis=None, keepdims=False: np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims)),
    _norm2_vjp,
    floats=True,
)


@function
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """The length of all numbers, or of those along the axes: (sum |x|^ord)^(1/ord), by default with ord 2.

    inf and -inf give the largest and the smallest |x|, 0 counts those that are not 0. No matrix norms but the
    Frobenius norm ("fro"). At the zero vector the gradient is 0.
    """
    if ord is None or ord in (2, "fro"):
        return _norm2(x, axis=axis, keepdims=keepdims)
    if isinstance(ord, str) or ord != ord:
        raise BadInput(f"norm of order {ord!r} is not known: give a number, or 'fro'")
    sizes = abs_(x)
    if ord in (math.inf, -math.inf):
        return (amax if ord > 0 else amin)(sizes, axis=axis, keepdims=keepdims)
    if ord == 0:
        return sum_(where(raw(x) != 0, 1.0, 0.0 * sizes), axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum_(sizes, axis=axis, keepdims=keepdims)
    sizes = where(np.isnan(raw(x)), x, sizes)  # has the gradient nan there, where |x| has 0
    nonzero = raw(x) != 0
    powers = where(nonzero, where(nonzero, sizes, 1.0) ** ord, 0.0 if ord > 0 else math.inf)
    total = sum_(powers, axis=axis, keepdims=keepdims)
    flat = raw(total) == 0 if ord > 0 else np.isin(raw(total), (0, math.inf))
    return where(flat, power(raw(total), 1 / ord), power(where(flat, 1.0, total), 1 / ord))


@function
def any_(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """True where some number along the axis is not 0: an array of bool."""
    return np.any(raw(x), axis=axis, keepdims=keepdims)


@function
def all_(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """True where no number along the axis is 0: an array of bool."""
    return np.all(raw(x), axis=axis, keepdims=keepdims)
