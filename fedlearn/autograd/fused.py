"""Ops computed in one go for speed, each beside the composition of simpler ops that defines it.

The composition serves derivatives beyond the first and is what the tests compare the fast version with.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd.arrays import remembered
from fedlearn.autograd.graph import Fused
from fedlearn.autograd.ops import log_softmax, mean, pick, reshape, softmax, softplus, take, where
from fedlearn.autograd.ops.select import unmasked
from fedlearn.autograd.rows import RowSparse, renumbered
from fedlearn.autograd.sparse import add_to_known_rows, add_to_rows, single, sum_rows
from fedlearn.errors import ShapeError

# Cross-entropy. Logits (..., C) and whole-number targets (...) give losses (...), or their means over the last axis.


@remembered
def _first_places(shape: tuple[int, ...], classes: int) -> np.ndarray:
    return np.arange(0, prod(shape) * classes, classes).reshape(shape)


def _cross_entropy(
    logits: np.ndarray, target: np.ndarray, smoothing: float = 0.0, average: bool = False
) -> tuple[Any, Any]:
    classes = logits.shape[-1]
    flat = logits.reshape(-1, classes)
    top = np.maximum.reduce(flat.T.copy())  # the largest of each of many short rows: quicker this way
    rows = flat - top[:, None]
    places = _first_places(target.shape, classes) + target
    loss = np.asarray(-rows.reshape(-1).take(places))
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * rows.mean(axis=-1).reshape(loss.shape)
    np.exp(rows, out=rows)
    total = np.add.reduce(rows, -1).reshape(loss.shape)
    loss += np.log(total)
    result = np.add.reduce(loss, -1) / loss.dtype.type(loss.shape[-1]) if average else loss
    return result, (rows.reshape(logits.shape), total, places)


def _cross_entropy_joint(
    g: np.ndarray,
    kept: tuple[np.ndarray, np.ndarray, np.ndarray],
    logits: np.ndarray,
    target: np.ndarray,
    smoothing: float = 0.0,
    average: bool = False,
) -> list[Any]:
    exps, total, places = kept
    each = (g / g.dtype.type(target.shape[-1]))[..., None] if average else g
    gx = exps * (each / total)[..., None]
    gx.reshape(-1)[places] -= (1 - smoothing) * each
    if smoothing:
        gx -= (smoothing / gx.shape[-1] * each)[..., None]
    return [gx]


def _cross_entropy_composed(logits: Any, target: np.ndarray, smoothing: float = 0.0, average: bool = False) -> Any:
    logp = log_softmax(logits, axis=-1)
    loss = -pick(logp, index=target)
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * mean(logp, axis=-1)
    return mean(loss, axis=-1) if average else loss


def _cross_entropy_slope(g: np.ndarray, logits: np.ndarray, known: Any = None, **params: Any) -> tuple[Any, Any]:
    """The gradient of logits, and for its own gradient the probabilities and the targets' places.

    known: what the loss kept of these logits, where it is at hand.
    """
    kept = _cross_entropy(logits, **params)[1] if known is None else known
    exps, total, places = kept
    (gx,) = _cross_entropy_joint(g, kept, logits, **params)
    return gx, (exps / total[..., None], places)


def _inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sums over the last axis of products, which stays, of length 1."""
    return np.add.reduce(a * b, -1, keepdims=True)


def _slope_vjp_g(
    h: np.ndarray,
    kept: Any,
    g: Any,
    logits: Any,
    target: np.ndarray,
    smoothing: float = 0.0,
    average: bool = False,
    known: Any = None,
) -> Any:
    """What the gradient of logits says of g: the sum of h (p - q), q the targets' probabilities."""
    p, places = kept
    each = _inner(h, p)[..., 0] - (1 - smoothing) * h.reshape(-1)[places]
    if smoothing:
        each -= smoothing * h.mean(axis=-1)
    return each.sum(axis=-1) / h.dtype.type(each.shape[-1]) if average else each


def _slope_vjp_logits(
    h: np.ndarray, kept: Any, g: np.ndarray, logits: Any, target: np.ndarray, average: bool = False, **params: Any
) -> Any:
    """The logits' Hessian times h: g p (h - the mean of h under p)."""
    p, _ = kept
    each = (g / g.dtype.type(target.shape[-1]))[..., None] if average else g
    return each[..., None] * p * (h - _inner(h, p))


def _slope_composed(
    g: Any, logits: Any, target: np.ndarray, smoothing: float = 0.0, average: bool = False, known: Any = None
) -> Any:
    right = np.eye(logits.shape[-1], dtype=logits.dtype)[target]
    wanted = (1 - smoothing) * right + smoothing / logits.shape[-1]
    each = (g / target.shape[-1])[..., None] if average else g
    return each[..., None] * (softmax(logits, axis=-1) - wanted)


cross_entropy_slope = Fused(
    "cross_entropy_slope", _cross_entropy_slope, None, _slope_composed, _slope_vjp_g, _slope_vjp_logits
)
"""g (...) times the gradient of `cross_entropy`, (..., C)."""

cross_entropy = Fused(
    "cross_entropy",
    _cross_entropy,
    _cross_entropy_joint,
    _cross_entropy_composed,
    slope=lambda g, kept, logits, **params: [cross_entropy_slope(g, logits, known=kept, **params)],
)
"""-log softmax(logits)[target]; with `smoothing` s the target is spread: s of it evenly over all classes."""


# Binary cross-entropy of logits, element by element, or the means over so many of the last axes.


def _bce_with_logits(x: np.ndarray, target: np.ndarray, average: int = 0) -> tuple[Any, Any]:
    """log(1 + exp(-|x|)) + x (h - t), with h = 1 for x >= 0, else 0: nothing cancels at either end."""
    if x.shape != target.shape:
        raise ShapeError(f"bce_with_logits takes logits and targets of one shape, not {x.shape} and {target.shape}")
    z = np.exp(-np.abs(x))
    right = x >= 0
    excess = right - target  # -t or 1 - t: what the slope would be if x were infinite
    losses = np.log1p(z) + x * excess
    if average:
        count = prod(losses.shape[-average:])
        losses = np.add.reduce(losses.reshape(*losses.shape[:-average], count), -1) / losses.dtype.type(count)
    return losses, (z, excess, right)


def _each(g: Any, x: np.ndarray, average: int) -> Any:
    """The gradient of every loss, from that of the means."""
    if average:
        g = g / x.dtype.type(prod(x.shape[-average:]))
        g = g.reshape(*g.shape, *(1,) * average)
    return g


def _bce_with_logits_vjp(g: Any, kept: Any, x: np.ndarray, target: np.ndarray, average: int = 0) -> Any:
    """sigmoid(x) - t, as (h - t) less or plus sigmoid(-|x|)."""
    z, excess, right = kept
    beyond = z / (1 + z)
    return _each(g, x, average) * (excess - np.where(right, beyond, -beyond))


def _bce_with_logits_target_vjp(g: Any, kept: Any, x: np.ndarray, target: np.ndarray, average: int = 0) -> Any:
    return -_each(g, x, average) * x


def _bce_with_logits_composed(x: Any, target: Any, average: int = 0) -> Any:
    losses = target * softplus(-x) + (1 - target) * softplus(x)
    return mean(losses, axis=tuple(range(-average, 0))) if average else losses


bce_with_logits = Fused(
    "bce_with_logits",
    _bce_with_logits,
    None,
    _bce_with_logits_composed,
    _bce_with_logits_vjp,
    _bce_with_logits_target_vjp,
)
"""-(t log sigmoid(x) + (1 - t) log sigmoid(-x)) for x and t of one shape, never overflowing."""


# Bags of embeddings: row b of the result is the sum, or mean, of weight[indices[offsets[b]:offsets[b + 1]]].


def _flat(indices: np.ndarray, offsets: np.ndarray, weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which rows of weight (..., V, D) made flat, (..., D), each bag sums up: numbers, bounds, sizes."""
    copies, vocabulary = prod(weight.shape[:-2]), weight.shape[-2]
    small = indices.dtype == np.int32 and max(copies * vocabulary, indices.size) < 2**31
    numbers = indices.astype(np.int32 if small else np.int64, copy=False)
    bounds = np.empty(offsets.size + 1, numbers.dtype)
    bounds[:-1] = offsets.ravel()
    bounds[-1] = indices.size
    if copies > 1 and numbers.size:
        words = np.diff(bounds[:: offsets.shape[-1]])
        numbers = numbers + np.repeat(np.arange(copies, dtype=numbers.dtype) * vocabulary, words)
    return numbers, bounds, bounds[1:] - bounds[:-1]


def _embedding_bag(weight: np.ndarray, indices: np.ndarray, offsets: np.ndarray, mode: str) -> tuple[Any, Any]:
    numbers, bounds, sizes = _flat(indices, offsets, weight)
    table = weight if weight.ndim == 2 else weight.reshape(-1, weight.shape[-1])
    bags = sum_rows(single(table), numbers, bounds).astype(weight.dtype, copy=False)
    divisors = np.maximum(sizes, 1).astype(weight.dtype)[:, None] if mode == "mean" else None
    if divisors is not None:
        bags /= divisors
    return bags if offsets.ndim == 1 else bags.reshape(*offsets.shape, weight.shape[-1]), (numbers, bounds, divisors)


def _embedding_bag_joint(
    g: np.ndarray, kept: Any, weight: np.ndarray, indices: np.ndarray, offsets: np.ndarray, mode: str
) -> list[Any]:
    numbers, bounds, divisors = kept
    g = single(g.reshape(offsets.size, weight.shape[-1]))
    if divisors is not None:
        g = g / divisors
    if weight.ndim > 2:
        gw = np.zeros(weight.shape, g.dtype)
        add_to_rows(gw.reshape(-1, weight.shape[-1]), numbers, bounds, g)
        return [gw]
    rows, numbers = renumbered(numbers, len(weight))
    values = np.zeros((len(rows), weight.shape[-1]), g.dtype)
    add_to_known_rows(values, numbers, bounds, g)
    return [RowSparse(rows, values, weight.shape)]


def _embedding_bag_composed(weight: Any, indices: np.ndarray, offsets: np.ndarray, mode: str) -> Any:
    numbers, _, sizes = _flat(indices, offsets, weight)
    belongs = np.repeat(np.arange(offsets.size), sizes)[None, :] == np.arange(offsets.size)[:, None]
    share = belongs / np.maximum(sizes, 1)[:, None] if mode == "mean" else belongs
    bags = share.astype(weight.dtype) @ take(reshape(weight, shape=(-1, weight.shape[-1])), indices=numbers)
    return reshape(bags, shape=(*offsets.shape, weight.shape[-1]))


embedding_bag = Fused("embedding_bag", _embedding_bag, _embedding_bag_joint, _embedding_bag_composed)
"""weight (V, D), indices (n,) and offsets (B,), int64 -> (B, D); its gradient is carried as rows.

Of K stacked clients, weight (K, V, D) and offsets (K, B), client by client, in all of their indices -> (K, B, D).
"""


# Dropout. draw(shape) gives evenly drawn numbers below 1; where one is below p, the number of x is dropped.


def _dropout(x: np.ndarray, p: float, draw: Callable[[tuple[int, ...]], Any]) -> tuple[Any, Any]:
    dropped = draw(x.shape) < p
    return np.where(dropped, 0.0, x * _scale(x, p)), dropped


def _scale(x: np.ndarray, p: float) -> Any:
    return x.dtype.type(1 / (1 - p) if p < 1 else 0)


def _dropout_composed(x: Any, p: float, draw: Callable[[tuple[int, ...]], Any]) -> Any:
    return where(draw(x.shape) < p, 0.0, x * _scale(x, p))


dropout = Fused(
    "dropout",
    _dropout,
    None,
    _dropout_composed,
    lambda g, dropped, x, p, draw: unmasked(dropped, g) * _scale(x, p),
    slope=lambda g, dropped, x, p, draw: [where(dropped, 0.0, g) * _scale(x, p)],
    as_is=True,
)
"""x with a share p of its numbers made 0, and the others divided by 1 - p."""
