"""To mean 0 and variance 1, or to length 1; and the cosine of two vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.autograd.node import raw
from fedlearn.checked import flag
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.functional.arguments import axis_of, floats, has_shape, numbers, real, sizes, whole
from fedlearn.wording import many


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

    In training by the batch's own statistics, which are mixed into the running ones (C,); else by those. So in training
    the running ones are arrays or Tensors, which are written into: raises `BadInput` for lists.
    """
    training, x = flag("batch_norm's training", training), floats(input, "batch_norm's input")
    if x.ndim < 2:
        raise ShapeError(f"batch_norm takes (N, C, ...), the input has shape {x.shape}")
    for name, given in (("mean", running_mean), ("var", running_var), ("weight", weight), ("bias", bias)):
        has_shape(given, x.shape[1:2], f"batch_norm's {name}, one number a channel,")
    if (running_mean is None) != (running_var is None) or not (training or running_mean is not None):
        raise BadInput("batch_norm takes both a running mean and variance, or none of them and training=True")
    momentum = real(momentum, "batch_norm's momentum", 0, 1)
    eps = _positive(eps, "batch_norm's eps")
    axes = (0, *range(2, x.ndim))
    shape = (-1, *(1,) * (x.ndim - 2))
    if training and x.size:
        count = x.size // x.shape[1]
        if count < 2:
            raise ShapeError(
                f"batch_norm in training needs more than one value a channel, the input is {x.shape}: give batches of "
                "two or more, also the last"
            )
        mean = ops.mean(x, axis=axes, keepdims=True)
        var = ops.var(x, axis=axes, keepdims=True, correction=0)
        if running_mean is not None:
            _check_written("mean", running_mean)
            _check_written("var", running_var)
            _mix_in(running_mean, raw(mean).ravel(), momentum)
            _mix_in(running_var, raw(var).ravel() * (count / (count - 1)), momentum)
    elif running_mean is None:
        mean, var = 0.0, 1.0  # of an empty batch
    else:
        mean, var = (np.asarray(raw(statistic)).reshape(shape) for statistic in (running_mean, running_var))
    return _affine((x - mean) / (var + eps) ** 0.5, weight, bias, shape)


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """The last axes, of `normalized_shape`, to mean 0 and variance 1, times weight, plus bias, of that shape."""
    x = floats(input, "layer_norm's input")
    shape = normalized(normalized_shape)
    if x.shape[-len(shape) :] != shape:
        raise ShapeError(f"layer_norm over {shape} does not fit an input of shape {x.shape}")
    has_shape(weight, shape, "layer_norm's weight")
    has_shape(bias, shape, "layer_norm's bias")
    if not x.size:
        return _affine(x, weight, bias, shape)
    return _affine(_standard(x, tuple(range(-len(shape), 0)), eps, "layer_norm"), weight, bias, shape)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Each group of channels of each example of (N, C, ...) to mean 0 and variance 1 (Wu and He 2018).

    weight, bias: (C,), by which the channels are then multiplied and moved.
    """
    x = floats(input, "group_norm's input")
    groups = whole(num_groups, "num_groups", 1)
    if x.ndim < 2 or x.shape[1] % groups:
        raise ShapeError(
            f"group_norm in {many(groups, 'group')} takes (N, C, ...), C a multiple of it; the input is {x.shape}"
        )
    has_shape(weight, x.shape[1:2], "group_norm's weight, one number a channel,")
    has_shape(bias, x.shape[1:2], "group_norm's bias, one number a channel,")
    each = math.prod(x.shape[1:]) // groups
    if x.size and len(x) * each < 2:
        raise ShapeError(
            f"group_norm in {many(groups, 'group')} has one value in each for an input of {x.shape}: take fewer"
        )
    if x.size:
        rows = ops.reshape(x, shape=(len(x), groups, each))
        x = ops.reshape(_standard(rows, (-1,), eps, "group_norm"), shape=x.shape)
    return _affine(x, weight, bias, (-1, *(1,) * (x.ndim - 2)))


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """x divided by its p-norm along `dim`, or by eps where that is smaller; p from 1 to infinity."""
    x = floats(input, "normalize's input")
    return x / _norm(x, p, axis_of(x, dim, "normalize"), _positive(eps, "normalize's eps"))


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x1 x2 / (|x1| |x2|) along `dim`, of shapes that broadcast; a norm below eps counts as eps."""
    a, b = floats(x1, "cosine_similarity's x1"), floats(x2, "cosine_similarity's x2")
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ShapeError(f"cosine_similarity: {a.shape} and {b.shape} do not broadcast: reshape one of them") from None
    a, b = (ops.broadcast_to(x, shape=shape) if x.shape != shape else x for x in (a, b))
    axis, eps = axis_of(a, dim, "cosine_similarity"), _positive(eps, "cosine_similarity's eps")
    return ops.sum_(ops.mul(ops.div(a, _norm(a, 2, axis, eps)), ops.div(b, _norm(b, 2, axis, eps))), axis=axis)


def normalized(shape: Any) -> tuple[int, ...]:
    """The shape that layer_norm works over, from one number or several."""
    found = sizes(shape, "normalized_shape", len(shape) if isinstance(shape, tuple | list) else 1)
    if not found:
        raise BadInput("normalized_shape has no axis: give one or more sizes")
    return found


def _norm(x: Any, p: Any, axis: int, least: float) -> Any:
    """The p-norm along an axis, kept as one of length 1, not below `least`; at 0 it has no gradient."""
    p = real(p, "p", 1, finite=False)
    sizes = ops.abs_(x)
    if not x.shape[axis]:
        return least
    top = raw(sizes).max(axis=axis, keepdims=True)
    if p == math.inf:
        norm = ops.amax(sizes, axis=axis, keepdims=True)
    elif p == 1:
        norm = sizes.sum(axis=axis, keepdims=True)
    else:  # scaled by the largest, so that no power overflows
        scale = np.where((top > 0) & np.isfinite(top), top, 1).astype(x.dtype)
        powers = ops.square(x / scale) if p == 2 else _powers(sizes / scale, p)
        norm = scale * ops.where(top == 0, 1.0, ops.sum_(powers, axis=axis, keepdims=True)) ** (1 / p)
    return ops.where((raw(norm) <= least) | (top == 0), least, norm)


def _standard(x: Any, axes: tuple[int, ...], eps: Any, name: str) -> Any:
    mean = ops.mean(x, axis=axes, keepdims=True)
    var = ops.var(x, axis=axes, keepdims=True, correction=0)
    return (x - mean) / (var + real(eps, f"{name}'s eps", 0)) ** 0.5


def _positive(value: Any, name: str) -> float:
    number = real(value, name, 0)
    if not number:
        raise BadInput(f"{name} is 0: give a number above 0")
    return number


def _check_written(name: str, running: Any) -> None:
    """Raise `BadInput` for running statistics that cannot be changed in place: a list, whole or read-only numbers."""
    array = raw(running)
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.flags.writeable:
        raise BadInput(
            f"batch_norm's running_{name} is {running!r:.60}: give an array of floats or a Tensor to write into"
        )


def _mix_in(running: Any, batch: np.ndarray, momentum: float) -> None:
    running[...] = (1 - momentum) * raw(running) + momentum * batch


def _affine(x: Any, weight: Any, bias: Any, shape: Any) -> Any:
    if weight is not None:
        x = x * ops.reshape(numbers(weight, "the weight"), shape=shape)
    return x if bias is None else x + ops.reshape(numbers(bias, "the bias"), shape=shape)


def _powers(sizes: Any, p: float) -> Any:
    """sizes^p; where one is 0 all derivatives are, too."""
    nonzero = raw(sizes) != 0
    return ops.where(nonzero, ops.where(nonzero, sizes, 1.0) ** p, 0.0)
