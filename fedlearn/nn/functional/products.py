"""Products and lookups: linear layers, embeddings, bags of them, one-hot rows, dropout, attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd import fused, ops
from fedlearn.autograd.node import raw
from fedlearn.autograd.places import checked_indices, indices
from fedlearn.autograd.tensor import Tensor
from fedlearn.checked import as_array, flag, generator
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.functional.activations import softmax
from fedlearn.nn.functional.arguments import (
    fits_into,
    floats,
    has_shape,
    numbers,
    real,
    shaped,
    whole,
)
from fedlearn.wording import many


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input (..., in) times weight (out, in) transposed, plus bias (out,); a weight (in,) gives (...).

    Of K stacked clients, input (K, ..., in), weight (K, out, in) and bias (K, out).
    """
    if isinstance(weight, Tensor) and isinstance(bias, Tensor) and bias._data.ndim == weight._data.ndim - 1 >= 1:
        return ops.linear(input, weight, bias)
    x, weight = numbers(input, "linear's input"), numbers(weight, "linear's weight")
    if bias is None:
        return ops.linear(x, weight) if weight.ndim > 1 else ops.matmul(x, weight)
    bias = numbers(bias, "linear's bias")
    if bias.ndim == weight.ndim - 1 >= 1:
        return ops.linear(x, weight, bias)
    return ops.add(linear(x, weight), bias)


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """Whole numbers (...) -> (..., num_classes), int64: 1 at each number's place, else 0; -1 counts the classes."""
    numbers, classes = indices(tensor, "one_hot class"), whole(num_classes, "num_classes", -1)
    if classes == -1:
        if not numbers.size:
            raise ShapeError(f"one_hot of shape {numbers.shape} has no largest class: give num_classes")
        classes = int(numbers.max()) + 1
    classes = whole(classes, "num_classes", 1)
    hot = np.zeros(shaped((*numbers.shape, classes), "one_hot"), np.int64)
    np.put_along_axis(hot, checked_indices(numbers, classes, "one_hot class")[..., None], 1, axis=-1)
    return Tensor(hot)


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Rows of weight (V, D) at whole numbers `input` (...): (..., D). The row `padding_idx` gets no gradient."""
    weight = _table(weight, "embedding")
    chosen = checked_indices(input, len(weight), "embedding index")
    rows = ops.take(weight, indices=chosen)
    if padding_idx is None:
        return rows
    padding = (chosen == _padding(padding_idx, len(weight)))[..., None]
    return ops.where(padding, raw(rows), rows)


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    mode: str = "mean",
    *,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Sums or means of rows of weight (V, D) -> (B, D).

    `input` is (n,) whole numbers, with bag b reaching from offsets[b] to offsets[b + 1], or (B, n) without
    offsets, one bag a row. An empty bag gives zeros. Of K stacked clients, weight (K, V, D) and offsets (K, B) in
    the n indices of all of them, or input (K, B, n), give (K, B, D). Raises `BadInput` for an index or offset out of
    range.

    per_sample_weights   floats of input's shape that the rows are multiplied by, for mode "sum", not of a stack
    include_last_offset  the last offset is no bag but the end of the one before
    padding_idx          an index that counts for nothing: neither in sums nor in means
    """
    if not isinstance(mode, str) or mode not in ("sum", "mean"):
        raise BadInput(f"unknown embedding bag mode {mode!r}: choose sum or mean")
    weight = _table(weight, "embedding_bag", stacked=True)
    named = checked_indices(input, weight.shape[-2], "embedding_bag index")
    has_shape(per_sample_weights, named.shape, "per_sample_weights, one for each index,")
    if named.ndim > 1:
        if offsets is not None:
            raise BadInput("offsets go with one-dimensional input: each row of a (B, n) input is a bag already")
        *bags, length = named.shape
        offsets = np.arange(prod(bags)).reshape(bags) * length
        named = named.ravel()
    elif offsets is None or not named.ndim:
        raise BadInput("one-dimensional input needs offsets: where each bag begins")
    offsets = _offsets(offsets, len(named), weight.shape[:-2])
    shares = (
        None if per_sample_weights is None else floats(per_sample_weights, "per_sample_weights").reshape(named.shape)
    )
    if shares is not None and (mode != "sum" or weight.ndim > 2):
        raise BadInput(f"per_sample_weights go with mode sum and one weight (V, D), not {mode} and {weight.shape}")
    if flag("include_last_offset", include_last_offset):
        if not offsets.size or offsets.ndim > 1:
            raise BadInput(f"include_last_offset takes offsets (B + 1,), these have shape {offsets.shape}")
        counted, offsets = np.s_[: offsets[-1]], offsets[:-1]
        named, shares = named[counted], None if shares is None else shares[counted]
    if padding_idx is not None:
        real_words = named != _padding(padding_idx, weight.shape[-2])
        offsets = np.concatenate([[0], np.cumsum(real_words)])[offsets]
        named, shares = named[real_words], None if shares is None else shares[real_words]
    if shares is None:
        return fused.embedding_bag(weight, indices=named, offsets=offsets, mode=mode)
    rows = ops.take(weight, indices=named) * ops.unsqueeze(shares, -1)
    return fused.embedding_bag(rows, indices=np.arange(len(named)), offsets=offsets, mode="sum")


def dropout(input: Any, p: float = 0.5, training: bool = True, *, rng: np.random.Generator | None = None) -> Any:
    """In training, each number is 0 with probability p, and else divided by 1 - p; `rng` None is fresh entropy."""
    return dropout_by(lambda shape: generator(rng).random(shape, np.float32), input, p, training)


def dropout_by(draw: Callable[[tuple[int, ...]], Any], input: Any, p: float, training: bool) -> Any:
    """Same as `dropout`; `draw` takes a shape and gives that many numbers, evenly drawn from 0 to 1."""
    p = real(p, "dropout's p", 0, 1)
    input = floats(input, "dropout's input")
    return fused.dropout(input, p=p, draw=draw) if flag("dropout's training", training) and p else input


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    rng: np.random.Generator | None = None,
) -> Any:
    """softmax(query key^T scale) value (Vaswani et al. 2017): (..., L, E), (..., S, E) and (..., S, D) -> (..., L, D).

    scale      by default 1 / sqrt(E)
    attn_mask  (..., L, S): where it is False a query does not see a key; or numbers that are added to the scores
    is_causal  query i sees the keys up to i only; not together with attn_mask
    A query that sees no key at all gets zeros.
    """
    query, key, value = (floats(x, f"attention's {name}") for x, name in ((query, "q"), (key, "k"), (value, "v")))
    if (
        min(query.ndim, key.ndim, value.ndim) < 2
        or query.shape[-1] != key.shape[-1]
        or key.shape[-2] != value.shape[-2]
    ):
        raise ShapeError(f"attention of query {query.shape}, key {key.shape} and value {value.shape}: they do not fit")
    is_causal = flag("is_causal", is_causal)
    if is_causal and attn_mask is not None:
        raise BadInput("attention takes attn_mask or is_causal, not both: leave one out")
    width = max(1, query.shape[-1])
    scores = query @ key.swapaxes(-1, -2) * (1 / math.sqrt(width) if scale is None else real(scale, "scale"))
    if is_causal:
        attn_mask = np.tri(*scores.shape[-2:], dtype=bool)
    if attn_mask is not None:
        mask = numbers(attn_mask, "attn_mask")
        if mask.dtype.kind in "iu":
            raise BadInput(f"attn_mask holds {mask.dtype}: give bools, or floats that are added to the scores")
        fits_into(mask, scores.shape, "attn_mask")
        scores = ops.where(raw(mask), scores, -np.inf) if mask.dtype.kind == "b" else scores + mask
    blind = np.isneginf(raw(scores)).all(axis=-1, keepdims=True)
    shares = ops.where(blind, 0.0, softmax(ops.where(blind, 0.0, scores), -1))
    return dropout(shares, dropout_p, rng=rng) @ value


def _table(weight: Any, name: str, stacked: bool = False) -> Any:
    weight = numbers(weight, f"{name}'s weight")
    if weight.ndim != 2 and not (stacked and weight.ndim == 3):
        raise ShapeError(f"{name} takes a weight (V, D), this one has shape {weight.shape}")
    return weight


def _padding(padding_idx: Any, count: int) -> int:
    number = whole(padding_idx, "padding_idx")
    if not -count <= number < count:
        raise BadInput(f"padding_idx {number} is out of range: give {-count} to {count - 1}")
    return number % count


def _offsets(given: Any, length: int, copies: tuple[int, ...]) -> np.ndarray:
    offsets = as_array("offsets", raw(given))
    if offsets.shape[:-1] != copies or not offsets.ndim or offsets.dtype.kind not in "iu":
        rows = "one row" if not copies else " x ".join(map(str, copies)) + " rows"
        raise BadInput(f"offsets are {rows} of whole numbers, not {offsets.dtype} of shape {offsets.shape}")
    flat = offsets.ravel()
    if len(flat) and (flat[0] != 0 or np.count_nonzero(flat[1:] < flat[:-1]) or flat[-1] > length):
        raise BadInput(
            f"offsets must begin with 0, never fall, and end within the {many(length, 'index', 'indices')}: {offsets}"
        )
    return offsets
