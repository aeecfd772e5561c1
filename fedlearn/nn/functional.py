"""Layers as functions, under PyTorch's names and argument order. Tensors and arrays mix; PyTorch's `dim` is an axis."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd import fused, ops
from fedlearn.autograd.node import raw
from fedlearn.errors import BadInput, ShapeError

Size = int | tuple[int, int]


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
    return ops.take(weight, indices=checked_indices(input, len(weight), "embedding index"))


def embedding_bag(input: Any, weight: Any, offsets: Any = None, mode: str = "mean") -> Any:
    """Sums or means of rows of weight (V, D) -> (B, D).

    `input` is (n,) whole numbers, with bag b reaching from offsets[b] to offsets[b + 1], or (B, n) without
    offsets, one bag a row. An empty bag gives zeros. Of K stacked clients, weight (K, V, D) and offsets (K, B) in
    the n indices of all of them, or input (K, B, n), give (K, B, D). Raises `BadInput` for an index or offset out of
    range.
    """
    if mode not in ("sum", "mean"):
        raise BadInput(f"unknown embedding bag mode {mode!r}: choose sum or mean")
    indices = checked_indices(input, weight.shape[-2], "embedding_bag index")
    if indices.ndim > 1:
        if offsets is not None:
            raise BadInput("offsets go with one-dimensional input: each row of a (B, n) input is a bag already")
        *bags, length = indices.shape
        offsets = np.arange(prod(bags)).reshape(bags) * length
        indices = indices.ravel()
    elif offsets is None:
        raise BadInput("one-dimensional input needs offsets: where each bag begins")
    offsets = _offsets(offsets, len(indices), weight.shape[:-2])
    return fused.embedding_bag(weight, indices=indices, offsets=offsets, mode=mode)


def conv2d(input: Any, weight: Any, bias: Any = None, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Any:
    """input (N, C, H, W) with weight (O, C, h, w) and bias (O,) -> (N, O, H', W'); sizes are one number or two."""
    kernel = weight.shape[-2:]
    if input.ndim != 4 or weight.ndim != 4 or input.shape[1] != weight.shape[1]:
        raise ShapeError(
            f"conv2d: input {input.shape} does not fit weight {weight.shape}: (N, C, H, W) and (O, C, h, w)"
        )
    seen = ops.windows(
        input, kernel=kernel, stride=_pair(stride), padding=_pair(padding), dilation=_pair(dilation), fill=0.0
    )
    places = seen.shape[-2:]
    columns = ops.reshape(seen, shape=(len(input), -1, places[0] * places[1]))
    out = ops.reshape(weight, shape=(len(weight), -1)) @ columns
    if bias is not None:
        out = out + ops.unsqueeze(bias, -1)
    return ops.reshape(out, shape=(len(input), len(weight), *places))


def max_pool2d(input: Any, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1) -> Any:
    """The largest number in each window (..., H, W) -> (..., H', W'); of equal ones the first has the gradient."""
    kernel = _pair(kernel_size)
    options = {"stride": _pair(stride or kernel_size), "padding": _pair(padding), "dilation": _pair(dilation)}
    seen = ops.windows(input, kernel=kernel, fill=-np.inf, **options)
    rows = _windows_last(seen)
    return ops.pick(rows, index=raw(rows).argmax(axis=-1))


def avg_pool2d(input: Any, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Any:
    """The mean of each window (..., H, W) -> (..., H', W'), padding counted in."""
    options = {"stride": _pair(stride or kernel_size), "padding": _pair(padding), "dilation": (1, 1)}
    return ops.mean(ops.windows(input, kernel=_pair(kernel_size), fill=0.0, **options), axis=(-4, -3))


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of (N, C, ...) to mean 0 and variance 1, times weight (C,), plus bias (C,).

    In training by the batch's own statistics, which are mixed into the running ones (C,); else by those.
    """
    axes = (0, *range(2, input.ndim))
    shape = (-1, *(1,) * (input.ndim - 2))
    if training or running_mean is None:
        count = input.size // input.shape[1]
        if count < 2:
            raise ShapeError(f"batch_norm in training needs more than one value a channel, input is {input.shape}")
        mean = ops.mean(input, axis=axes, keepdims=True)
        var = ops.var(input, axis=axes, keepdims=True, correction=0)
        if training and running_mean is not None:
            _mix_in(running_mean, raw(mean).ravel(), momentum)
            _mix_in(running_var, raw(var).ravel() * (count / (count - 1)), momentum)
    else:
        mean, var = (raw(statistic).reshape(shape) for statistic in (running_mean, running_var))
    return _affine((input - mean) / (var + eps) ** 0.5, weight, bias, shape)


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """The last axes, of `normalized_shape`, to mean 0 and variance 1, times weight, plus bias, of that shape."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if input.shape[-len(shape) :] != shape:
        raise ShapeError(f"layer_norm over {shape} does not fit an input of shape {input.shape}")
    axes = tuple(range(-len(shape), 0))
    mean = ops.mean(input, axis=axes, keepdims=True)
    var = ops.var(input, axis=axes, keepdims=True, correction=0)
    return _affine((input - mean) / (var + eps) ** 0.5, weight, bias, shape)


def dropout(input: Any, p: float = 0.5, training: bool = True, *, rng: np.random.Generator | None = None) -> Any:
    """In training, each number is 0 with probability p, and else divided by 1 - p; `rng` None is fresh entropy."""
    if not 0 <= p < 1:
        raise BadInput(f"dropout probability {p} is out of range: give a number in [0, 1)")
    if not training or p == 0:
        return input
    kept = (rng or np.random.default_rng()).random(input.shape, np.float32) >= p
    return input * (kept * input.dtype.type(1 / (1 - p)))


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
        average = reduction == "mean" and weight is None
        losses = fused.bce_with_logits(input, target, average=np.ndim(raw(input)) if average else 0)
        if average:
            return losses
    else:
        losses = (1 - target) * input + (1 + (pos_weight - 1) * target) * ops.softplus(-input)
    return _reduce(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """-(t log p + (1 - t) log(1 - p)) for probabilities `input`; logarithms are held above -100, as PyTorch's."""
    _same_shape(input, target, "binary_cross_entropy")
    values = raw(input)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise BadInput("binary_cross_entropy takes probabilities in [0, 1]: use the with_logits form for logits")
    losses = -(target * _bounded_log(input) + (1 - target) * _bounded_log(1 - input))
    return _reduce(losses if weight is None else losses * weight, reduction)


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """-input[target] for log-probabilities; shapes, weights and ignored targets as in `cross_entropy`."""
    logp, target = _classes_last(input, np.asarray(raw(target)))
    known, kept = _known(target, ignore_index, logp.shape[-1])
    return _weighted(-ops.pick(logp, index=known), known, kept, weight, reduction)


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
    weighted; `label_smoothing`, not together with weights, is the share of a target spread evenly over all classes.
    Raises `BadInput` for a target or a share out of range.
    """
    if not 0 <= label_smoothing <= 1:
        raise BadInput(f"label_smoothing {label_smoothing} is out of range: give a share in [0, 1]")
    logits, target = _classes_last(input, np.asarray(raw(target)))
    known, kept = _known(target, ignore_index, logits.shape[-1])
    if weight is not None and label_smoothing:
        raise BadInput("label_smoothing and class weights do not go together here: choose one")
    average = reduction == "mean" and weight is None and kept is None
    if average and known.ndim != 1:
        logits, known = logits.reshape(-1, logits.shape[-1]), known.reshape(-1)
    losses = fused.cross_entropy(logits, target=known, smoothing=label_smoothing, average=average)
    return losses if average else _weighted(losses, known, kept, weight, reduction)


def _known(target: np.ndarray, ignore_index: int, classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Targets with 0 for the ignored ones, and where they are kept; None if all are."""
    if ignore_index < 0 and target.size and _all_below(target, classes):
        return target, None
    kept = target != ignore_index
    known = np.where(kept, target, 0)
    _check_range(known, classes, "target class")
    return known, kept


def _weighted(losses: Any, known: np.ndarray, kept: np.ndarray | None, weight: Any, reduction: str) -> Any:
    """Losses (...) reduced, each weighed by its class and by whether it is kept."""
    if weight is None and kept is None:
        return _reduce(losses, reduction)
    share = np.ones(known.shape, losses.dtype) if weight is None else np.asarray(raw(weight))[known]
    if kept is not None:
        share = share * kept
    return _reduce(losses * share, "sum") / share.sum() if reduction == "mean" else _reduce(losses * share, reduction)


def _bounded_log(p: Any) -> Any:
    """log p, at least -100, with no gradient where p is 0."""
    return ops.where(raw(p) > 0, ops.log(ops.where(raw(p) > 0, p, 1.0)), -100.0).clip(-100.0, None)


def _mix_in(running: Any, batch: np.ndarray, momentum: float) -> None:
    running[...] = (1 - momentum) * raw(running) + momentum * batch


def _affine(x: Any, weight: Any, bias: Any, shape: Any) -> Any:
    if weight is not None:
        x = x * ops.reshape(weight, shape=shape)
    return x if bias is None else x + ops.reshape(bias, shape=shape)


def _windows_last(seen: Any) -> Any:
    """(..., h, w, H', W') -> (..., H', W', h w)."""
    outer = tuple(range(seen.ndim - 4))
    moved = ops.transpose(seen, axes=(*outer, -2, -1, -4, -3))
    return ops.reshape(moved, shape=(*moved.shape[:-2], -1))


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


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


def checked_indices(given: Any, count: int, name: str) -> np.ndarray:
    """`given` as an array of whole numbers below `count`, else `BadInput`; `name` says whose they are."""
    indices = np.asarray(raw(given))
    if indices.dtype.kind not in "iu":
        raise BadInput(f"each {name} is a whole number, not {indices.dtype}: cast them to int64")
    _check_range(indices, count, name)
    return indices


def _check_range(numbers: np.ndarray, count: int, name: str) -> None:
    if numbers.size and not _all_below(numbers, count):
        low, high = numbers.min(), numbers.max()
        raise BadInput(f"{name} {low if low < 0 else high} is out of range: valid are 0 to {count - 1}")


def _all_below(numbers: np.ndarray, count: int) -> bool:
    """Whether whole numbers lie in [0, count): read as unsigned, a negative one is larger than any count."""
    return bool(numbers.view(f"u{numbers.itemsize}").max() < count)


def _offsets(given: Any, length: int, copies: tuple[int, ...]) -> np.ndarray:
    offsets = np.asarray(raw(given))
    if offsets.shape[:-1] != copies or not offsets.ndim or offsets.dtype.kind not in "iu":
        rows = "one row" if not copies else f"{' x '.join(map(str, copies))} rows"
        raise BadInput(f"offsets are {rows} of whole numbers, not {offsets.dtype} of shape {offsets.shape}")
    flat = offsets.ravel()
    if len(flat) and (flat[0] != 0 or (flat[1:] < flat[:-1]).any() or flat[-1] > length):
        raise BadInput(f"offsets must begin with 0, never fall, and end within the {length} indices: {offsets}")
    return offsets
