"""Ops computed in one go for speed, each beside the composition of simpler ops that defines it.

The composition serves derivatives beyond the first and is what the tests compare the fast version with.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused
from fedlearn.autograd.ops import log_softmax, mean, pick, softplus, take
from fedlearn.autograd.rows import RowSparse, add_groups, group

# Cross-entropy. Logits (..., C) and whole-number targets (...) give losses (...), or their means over the last axis.


@lru_cache(maxsize=64)
def _first_places(shape: tuple[int, ...], classes: int) -> np.ndarray:
    return np.arange(0, prod(shape) * classes, classes).reshape(shape)


def _cross_entropy(
    logits: np.ndarray, target: np.ndarray, smoothing: float = 0.0, average: bool = False
) -> tuple[Any, Any]:
    classes = logits.shape[-1]
    flat = logits.reshape(-1, classes)
    top = flat.T.copy().max(axis=0)  # the largest of each of many short rows: quicker this way
    rows = flat - top[:, None]
    places = _first_places(target.shape, classes) + target
    loss = rows.reshape(-1).take(places)
    np.negative(loss, out=loss)
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * rows.mean(axis=-1).reshape(loss.shape)
    np.exp(rows, out=rows)
    total = rows.sum(axis=-1, keepdims=True)
    rows /= total
    loss += np.log(total, out=total).reshape(loss.shape)
    result = loss.sum(axis=-1) / loss.dtype.type(loss.shape[-1]) if average else loss
    return result, (rows.reshape(logits.shape), places)


def _cross_entropy_joint(
    g: np.ndarray,
    kept: tuple[np.ndarray, np.ndarray],
    logits: np.ndarray,
    target: np.ndarray,
    smoothing: float = 0.0,
    average: bool = False,
) -> list[Any]:
    softmax, places = kept
    gx = softmax - smoothing / softmax.shape[-1] if smoothing else softmax.copy()
    gx.reshape(-1)[places] -= 1 - smoothing
    gx *= (g / g.dtype.type(target.shape[-1]))[..., None, None] if average else g[..., None]
    return [gx]


def _cross_entropy_composed(logits: Any, target: np.ndarray, smoothing: float = 0.0, average: bool = False) -> Any:
    logp = log_softmax(logits, axis=-1)
    loss = -pick(logp, index=target)
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * mean(logp, axis=-1)
    return mean(loss, axis=-1) if average else loss


cross_entropy = Fused("cross_entropy", _cross_entropy, _cross_entropy_joint, _cross_entropy_composed)
"""-log softmax(logits)[target]; with `smoothing` s the target is spread: s of it evenly over all classes."""


# Binary cross-entropy of logits, element by element, or the mean.


def _bce_with_logits(x: np.ndarray, target: np.ndarray, average: bool = False) -> tuple[Any, Any]:
    losses = np.logaddexp(x, 0) - x * target
    return losses.sum() / losses.dtype.type(losses.size) if average else losses, None


def _bce_with_logits_joint(
    g: np.ndarray, kept: None, x: np.ndarray, target: np.ndarray, average: bool = False
) -> list[Any]:
    if average:
        g = g / x.dtype.type(x.size)
    return [g * (0.5 * np.tanh(0.5 * x) + 0.5 - target), -g * x]


def _bce_with_logits_composed(x: Any, target: Any, average: bool = False) -> Any:
    losses = softplus(x) - x * target
    return mean(losses) if average else losses


bce_with_logits = Fused("bce_with_logits", _bce_with_logits, _bce_with_logits_joint, _bce_with_logits_composed)
"""-(t log sigmoid(x) + (1 - t) log sigmoid(-x)) for x and t of one shape, never overflowing."""


# Bags of embeddings: row b of the result is the sum, or mean, of weight[indices[offsets[b]:offsets[b + 1]]].


MOST_COUNTS = 1 << 18  # numbers in a matrix of counts; beyond that sorting is quicker


def _counts(indices: np.ndarray, sizes: np.ndarray, vocabulary: int, dtype: Any) -> tuple[Any, Any]:
    """Which rows (U,) occur, and how often each in each bag (B, U); None for the latter if it is too large."""
    occurs = np.zeros(vocabulary, bool)
    occurs[indices] = True
    rows = np.flatnonzero(occurs)
    if len(sizes) * len(rows) > MOST_COUNTS:
        return rows, None
    place = np.empty(vocabulary, np.int64)
    place[rows] = np.arange(len(rows))
    counts = np.zeros(len(sizes) * len(rows), dtype)
    np.add.at(counts, np.repeat(np.arange(len(sizes)) * len(rows), sizes) + place[indices], dtype.type(1))
    return rows, counts.reshape(len(sizes), len(rows))


def _bag_sizes(indices: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    sizes = np.empty(len(offsets), np.int64)
    sizes[:-1] = offsets[1:]
    sizes[-1:] = len(indices)
    return sizes - offsets


def _divisors(sizes: np.ndarray, dtype: Any) -> np.ndarray:
    return np.maximum(sizes, 1).astype(dtype)[:, None]


def _embedding_bag(weight: np.ndarray, indices: np.ndarray, offsets: np.ndarray, mode: str) -> tuple[Any, Any]:
    sizes = _bag_sizes(indices, offsets)
    rows, counts = _counts(indices, sizes, len(weight), weight.dtype)
    if counts is not None:
        bags = counts @ weight.take(rows, axis=0)
    else:
        full = np.flatnonzero(sizes)
        bags = np.zeros((len(offsets), weight.shape[1]), weight.dtype)
        bags[full] = np.add.reduceat(weight.take(indices, axis=0), offsets[full], axis=0)
    if mode == "mean":
        bags /= _divisors(sizes, weight.dtype)
    return bags, (sizes, rows, counts)


def _embedding_bag_joint(
    g: np.ndarray, kept: Any, weight: np.ndarray, indices: np.ndarray, offsets: np.ndarray, mode: str
) -> list[Any]:
    sizes, rows, counts = kept
    if mode == "mean":
        g = g / _divisors(sizes, g.dtype)
    if counts is not None:
        return [RowSparse(rows, counts.T @ g, weight.shape)]
    order, rows, starts = group(indices, len(weight))
    bag = np.repeat(np.arange(len(sizes)), sizes)
    return [RowSparse(rows, add_groups(g, bag[order], starts), weight.shape)]


def _embedding_bag_composed(weight: Any, indices: np.ndarray, offsets: np.ndarray, mode: str) -> Any:
    sizes = _bag_sizes(indices, offsets)
    belongs = np.repeat(np.arange(len(sizes)), sizes)[None, :] == np.arange(len(sizes))[:, None]
    share = belongs / np.maximum(sizes, 1)[:, None] if mode == "mean" else belongs
    return share.astype(weight.dtype) @ take(weight, indices=indices)


embedding_bag = Fused("embedding_bag", _embedding_bag, _embedding_bag_joint, _embedding_bag_composed)
"""weight (V, D), indices (n,) and offsets (B,), int64 -> (B, D); its gradient is carried as rows."""
