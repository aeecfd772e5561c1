"""Ops computed in one go for speed, each beside the composition of simpler ops that defines it.

The composition serves derivatives beyond the first and is what the tests compare the fast version with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused
from fedlearn.autograd.ops import log_softmax, mean, pick, softplus, take
from fedlearn.autograd.rows import RowSparse, add_groups, group

# Cross-entropy. Logits (..., C) and whole-number targets (...) give losses (...).


def _cross_entropy(logits: np.ndarray, target: np.ndarray, smoothing: float = 0.0) -> tuple[Any, Any]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    total = weights.sum(axis=-1, keepdims=True)
    weights /= total
    log_total = np.log(total[..., 0])
    hit = np.take_along_axis(shifted, target[..., None], -1)[..., 0]
    loss = log_total - hit
    if smoothing:
        loss = (1 - smoothing) * loss + smoothing * (log_total - shifted.mean(axis=-1))
    return loss, weights


def _cross_entropy_joint(
    g: np.ndarray, weights: np.ndarray, logits: np.ndarray, target: np.ndarray, smoothing: float = 0.0
) -> list[Any]:
    classes = weights.shape[-1]
    gx = weights - smoothing / classes if smoothing else weights.copy()
    rows = gx.reshape(-1, classes)
    rows[np.arange(len(rows)), target.ravel()] -= 1 - smoothing
    gx *= g[..., None]
    return [gx]


def _cross_entropy_composed(logits: Any, target: np.ndarray, smoothing: float = 0.0) -> Any:
    logp = log_softmax(logits, axis=-1)
    picked = pick(logp, index=target)
    if not smoothing:
        return -picked
    return -(1 - smoothing) * picked - smoothing * mean(logp, axis=-1)


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


def _bag_sizes(indices: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return np.diff(offsets, append=len(indices))


def _embedding_bag(weight: np.ndarray, indices: np.ndarray, offsets: np.ndarray, mode: str) -> tuple[Any, Any]:
    sizes = _bag_sizes(indices, offsets)
    full = np.flatnonzero(sizes)
    bags = np.zeros((len(offsets), weight.shape[1]), weight.dtype)
    if len(full):
        bags[full] = np.add.reduceat(weight.take(indices, axis=0), offsets[full], axis=0)
    if mode == "mean":
        bags /= np.maximum(sizes, 1).astype(weight.dtype)[:, None]
    return bags, sizes


def _embedding_bag_joint(
    g: np.ndarray, sizes: np.ndarray, weight: np.ndarray, indices: np.ndarray, offsets: np.ndarray, mode: str
) -> list[Any]:
    if mode == "mean":
        g = g / np.maximum(sizes, 1).astype(g.dtype)[:, None]
    order, rows, starts = group(indices, len(weight))
    bag = np.repeat(np.arange(len(sizes)), sizes)
    values = add_groups(g, bag[order], starts)
    return [RowSparse(rows, values, weight.shape)]


def _embedding_bag_composed(weight: Any, indices: np.ndarray, offsets: np.ndarray, mode: str) -> Any:
    sizes = _bag_sizes(indices, offsets)
    belongs = np.repeat(np.arange(len(sizes)), sizes)[None, :] == np.arange(len(sizes))[:, None]
    share = belongs / np.maximum(sizes, 1)[:, None] if mode == "mean" else belongs
    return share.astype(weight.dtype) @ take(weight, indices=indices)


embedding_bag = Fused("embedding_bag", _embedding_bag, _embedding_bag_joint, _embedding_bag_composed)
"""weight (V, D), indices (n,) and offsets (B,), int64 -> (B, D); its gradient is carried as rows."""
