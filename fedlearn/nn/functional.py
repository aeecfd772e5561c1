"""Layers as functions, under PyTorch's names and argument order. Tensors and arrays mix; PyTorch's `dim` is an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd import fused, ops
from fedlearn.autograd.operators import raw
from fedlearn.errors import BadInput, ShapeError


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input (..., in) times weight (out, in) transposed, plus bias (out,)."""
    return ops.linear(input, weight) if bias is None else ops.linear(input, weight, bias)


def sigmoid(input: Any) -> Any:
    return ops.sigmoid(input)


def tanh(input: Any) -> Any:
    return ops.tanh(input)


def relu(input: Any) -> Any:
    return ops.relu(input)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    return ops.leaky_relu(input, slope=negative_slope)


def gelu(input: Any) -> Any:
    return ops.gelu(input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta, and x itself where beta x exceeds the threshold."""
    scaled = input * beta
    return ops.where(scaled > threshold, input, ops.softplus(scaled) / beta)


def softmax(input: Any, dim: int = -1) -> Any:
    return ops.softmax(input, axis=dim)


def log_softmax(input: Any, dim: int = -1) -> Any:
    return ops.log_softmax(input, axis=dim)


def embedding(input: Any, weight: Any) -> Any:
    """Rows of weight (V, D) at whole numbers `input` (...): (..., D)."""
    return ops.take(weight, indices=_indices(input, len(weight), "embedding"))


def embedding_bag(input: Any, weight: Any, offsets: Any = None, mode: str = "mean") -> Any:
    """Sums or means of rows of weight (V, D) -> (B, D).

    `input` is (n,) whole numbers, with bag b reaching from offsets[b] to offsets[b + 1], or (B, n) without
    offsets, one bag a row. An empty bag gives zeros. Raises `BadInput` for an index or offset out of range.
    """
    if mode not in ("sum", "mean"):
        raise BadInput(f"unknown embedding bag mode {mode!r}: choose sum or mean")
    indices = _indices(input, len(weight), "embedding_bag")
    if indices.ndim == 2:
        if offsets is not None:
            raise BadInput("offsets go with one-dimensional input: each row of a (B, n) input is a bag already")
        offsets = np.arange(len(indices)) * indices.shape[1]
        indices = indices.ravel()
    elif offsets is None:
        raise BadInput("one-dimensional input needs offsets: where each bag begins")
    offsets = _offsets(offsets, len(indices))
    return fused.embedding_bag(weight, indices=indices, offsets=offsets, mode=mode)


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """Squared differences of two tensors of one shape."""
    _same_shape(input, target, "mse_loss")
    difference = input - target
    return _reduce(difference * difference, reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """-(t log p + (1 - t) log(1 - p)) for p = sigmoid(input); `pos_weight` multiplies the first term."""
    _same_shape(input, target, "binary_cross_entropy_with_logits")
    if pos_weight is None:
        losses = fused.bce_with_logits(input, target)
    else:
        losses = (1 - target) * input + (1 + (pos_weight - 1) * target) * ops.softplus(-input)
    return _reduce(losses if weight is None else losses * weight, reduction)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-log softmax(input)[target] for logits (N, C) and whole numbers (N,), or (N, C, d1...) and (N, d1...).

    A target of `ignore_index` counts for nothing; `weight` (C,) weighs the classes, and the mean is then
    weighted. Raises `BadInput` for a target out of range.
    """
    logits, target = _classes_last(input, np.asarray(raw(target)))
    kept = target != ignore_index
    everything = bool(kept.all())
    known = target if everything else np.where(kept, target, 0)
    _check_range(known, logits.shape[-1], "cross_entropy target")
    losses = fused.cross_entropy(logits, target=known, smoothing=label_smoothing)
    if weight is not None:
        if label_smoothing:
            raise BadInput("label_smoothing and class weights do not go together here: choose one")
        share = np.asarray(raw(weight))[known] * kept
    elif everything:
        return _reduce(losses, reduction)
    else:
        share = kept.astype(logits.dtype)
    return _reduce(losses * share, "sum") / share.sum() if reduction == "mean" else _reduce(losses * share, reduction)


def _classes_last(logits: Any, target: np.ndarray) -> tuple[Any, np.ndarray]:
    if target.dtype.kind not in "iu":
        raise BadInput(f"targets are whole numbers that name classes, not {target.dtype}: cast them to int64")
    if logits.ndim > 2:
        logits = ops.transpose(logits, axes=(0, *range(2, logits.ndim), 1))
    if logits.ndim == 0 or logits.shape[:-1] != target.shape:
        raise ShapeError(f"logits of shape {logits.shape} (classes last) do not fit targets of shape {target.shape}")
    return logits, target


def _reduce(losses: Any, reduction: str) -> Any:
    if reduction == "mean":
        return ops.mean(losses)
    if reduction == "sum":
        return ops.sum_(losses)
    if reduction == "none":
        return losses
    raise BadInput(f"unknown reduction {reduction!r}: choose mean, sum or none")


def _same_shape(input: Any, target: Any, name: str) -> None:
    if np.shape(raw(input)) != np.shape(raw(target)):
        raise ShapeError(f"{name}: input {np.shape(raw(input))} and target {np.shape(raw(target))} differ in shape")


def _indices(given: Any, count: int, name: str) -> np.ndarray:
    indices = np.asarray(raw(given))
    if indices.dtype.kind not in "iu":
        raise BadInput(f"{name} takes whole numbers as indices, not {indices.dtype}: cast them to int64")
    _check_range(indices, count, f"{name} index")
    return indices


def _check_range(numbers: np.ndarray, count: int, name: str) -> None:
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < count:
        worst = numbers.max() if numbers.max() >= count else numbers.min()
        raise BadInput(f"{name} {worst} is out of range: there are {count}, valid are 0 to {count - 1}")


def _offsets(given: Any, length: int) -> np.ndarray:
    offsets = np.asarray(raw(given))
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu":
        raise BadInput(f"offsets are one row of whole numbers, not {offsets.dtype} of shape {offsets.shape}")
    if len(offsets) and (offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] > length):
        raise BadInput(f"offsets must begin with 0, never fall, and end within the {length} indices: {offsets}")
    return offsets
