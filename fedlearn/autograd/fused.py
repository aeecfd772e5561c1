"""Ops computed in one go for speed, each beside the composition of simpler ops that defines it.

The composition serves derivatives beyond the first and is what the tests compare the fast version with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused
from fedlearn.autograd.ops import log_softmax, mean, pick, softplus, take
from fedlearn.autograd.rows import RowSparse, add_groups, group

# Cross-entropy. Logits (..., C) and whole-number targets (...) give losses (...), or their mean.


def _cross_entropy(
    logits: np.ndarray, target: np.ndarray, smoothing: float = 0.0, average: bool = False
) -> tuple[Any, Any]:
    weights = logits - logits.max(axis=-1, keepdims=True)
    rows = weights.reshape(-1, weights.shape[-1])
    loss = -rows[np.arange(len(rows)), target.ravel()].reshape(target.shape)
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * weights.mean(axis=-1)
    np.exp(weights, out=weights)
    total = weights.sum(axis=-1, keepdims=True)
    weights /= total
    loss += np.log(total[..., 0])
    return loss.sum() / loss.dtype.type(loss.size) if average else loss, weights


def _cross_entropy_joint(
    g: np.ndarray,
    weights: np.ndarray,
    logits: np.ndarray,
    target: np.ndarray,
    smoothing: float = 0.0,
    average: bool = False,
) -> list[Any]:
    classes = weights.shape[-1]
    gx = weights - smoothing / classes if smoothing else weights.copy()
    rows = gx.reshape(-1, classes)
    rows[np.arange(len(rows)), target.ravel()] -= 1 - smoothing
    gx *= g / g.dtype.type(len(rows)) if average else g[..., None]
    return [gx]


def _cross_entropy_composed(logits: Any, target: np.ndarray, smoothing: float = 0.0, average: bool = False) -> Any:
    logp = log_softmax(logits, axis=-1)
    loss = -pick(logp, index=target)
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * mean(logp, axis=-1)
    return mean(loss) if average else loss


cross_entropy = Fused("cross_entropy", _cross_entropy, _cross_entropy_joint, _cross_entropy_composed)
"""-log softmax(logits)[target]; with `smoothing` s the target is spread: s of it evenly over all classes."""


# Binary cross-entropy of logits, element by element.


def _bce_with_logits(x: np.ndarray, target: np.ndarray) -> tuple[Any, Any]:
    return np.logaddexp(x, 0) - x * target, None


def _bce_with_logits_joint(g: np.ndarray, kept: None, x: np.ndarray, target: np.ndarray) -> list[Any]:
    return [g * (0.5 * np.tanh(0.5 * x) + 0.5 - target), -g * x]


bce_with_logits = Fused(
    "bce_with_logits",
    _bce_with_logits,
    _bce_with_logits_joint,
    lambda x, target: softplus(x) - x * target,
)
"""-(t log sigmoid(x) + (1 - t) log sigmoid(-x)), never overflowing."""


# Bags of embeddings: row b of the result is the sum, or mean, of weight[indices[offsets[b]:offsets[b + 1]]].


MOST_COUNTS = 1 << 18  # numbers in a matrix of counts; beyond that sorting is quicker


def _shares(indices: np.ndarray, offsets: np.ndarray, vocabulary: int, mode: str, dtype: Any) -> tuple[Any, Any]:
    """Which rows (U,) occur, and how much of each goes into each bag (B, U); None for the latter if it is too large."""
    rows = np.flatnonzero(np.bincount(indices, minlength=vocabulary))
    if len(offsets) * len(rows) > MOST_COUNTS:
        return rows, None
    sizes = _bag_sizes(indices, offsets)
    place = np.empty(vocabulary, np.int64)
    place[rows] = np.arange(len(rows))
    counts = np.zeros(len(offsets) * len(rows), dtype)
    np.add.at(counts, np.repeat(np.arange(len(offsets)) * len(rows), sizes) + place[indices], dtype.type(1))
    shares = counts.reshape(len(offsets), len(rows))
    if mode == "mean":
        shares /= np.maximum(sizes, 1).astype(dtype)[:, None]
    return rows, shares


def _bag_sizes(indices: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return np.diff(offsets, append=len(indices))


def _embedding_bag(weight: np.ndarray, indices: np.ndarray, offsets: np.ndarray, mode: str) -> tuple[Any, Any]:
    rows, shares = _shares(indices, offsets, len(weight), mode, weight.dtype)
    if shares is not None:
        return shares @ weight.take(rows, axis=0), (rows, shares)
    sizes = _bag_sizes(indices, offsets)
    full = np.flatnonzero(sizes)
    bags = np.zeros((len(offsets), weight.shape[1]), weight.dtype)
    bags[full] = np.add.reduceat(weight.take(indices, axis=0), offsets[full], axis=0)
    if mode == "mean":
        bags /= np.maximum(sizes, 1).astype(weight.dtype)[:, None]
    return bags, (rows, None)


def _embedding_bag_joint(
    g: np.ndarray, kept: Any, weight: np.ndarray, indices: np.ndarray, offsets: np.ndarray, mode: str
) -> list[Any]:
    rows, shares = kept
    if shares is not None:
        return [RowSparse(rows, shares.T @ g, weight.shape)]
    sizes = _bag_sizes(indices, offsets)
    if mode == "mean":
        g = g / np.maximum(sizes, 1).astype(g.dtype)[:, None]
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
