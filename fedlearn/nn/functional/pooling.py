"""Pooling over images (..., H, W): the largest number of each window, or the mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.autograd.pooling import max_pool
from fedlearn.checked import flag
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.functional.arguments import Size, floats, sizes, whole

Pair = tuple[int, ...]


def max_pool2d(
    input: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Any:
    """The largest number in each window (..., H, W) -> (..., H', W'); of equal ones the first has the gradient.

    ceil_mode: a last window that reaches beyond the image counts too, if it begins within it.
    """
    x = _image(input, "max_pool2d")
    kernel, steps, edge = _geometry(kernel_size, stride, padding)
    spread = sizes(dilation, "dilation", least=1)
    beyond = _beyond(x, kernel, steps, edge, spread) if flag("ceil_mode", ceil_mode) else (0, 0)
    return max_pool(x, kernel=kernel, stride=steps, padding=edge, dilation=spread, beyond=beyond)


def avg_pool2d(
    input: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window (..., H, W) -> (..., H', W').

    Zeros of the padding count in the mean unless `count_include_pad` is False; `divisor_override` divides the sums in
    place of the count; ceil_mode as in `max_pool2d`, what lies beyond the padding not counting.
    """
    ceil_mode, count_include_pad = flag("ceil_mode", ceil_mode), flag("count_include_pad", count_include_pad)
    x = _image(input, "avg_pool2d")
    kernel, steps, edge = _geometry(kernel_size, stride, padding)
    options = {"kernel": kernel, "stride": steps, "dilation": (1, 1), "fill": 0.0}
    shape = x.shape[-2:]
    beyond = _beyond(x, kernel, steps, edge, (1, 1)) if ceil_mode else (0, 0)
    ends = tuple((0, more) for more in beyond)
    if ceil_mode:
        x = ops.pad(x, widths=((0, 0),) * (x.ndim - 2) + ends, value=0.0)
    seen = ops.windows(x, padding=edge, **options)
    if divisor_override is not None:
        return ops.sum_(seen, axis=(-4, -3)) / whole(divisor_override, "divisor_override", 1)
    if count_include_pad and not ceil_mode:
        return ops.mean(seen, axis=(-4, -3))
    inside = np.pad(np.ones(shape, x.dtype), [(p, p) for p in edge], constant_values=float(count_include_pad))
    counts = ops.windows(np.pad(inside, ends), padding=(0, 0), **options).sum(axis=(-4, -3))
    return ops.sum_(seen, axis=(-4, -3)) / counts


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """(..., H, W) -> (..., H', W') for output_size H' and W', or one for both, None to keep; means of equal shares."""
    x = _image(input, "adaptive_avg_pool2d")
    wanted = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size, output_size)
    if len(wanted) != 2 or min(x.shape[-2:]) < 1:
        raise ShapeError(
            f"adaptive_avg_pool2d of {x.shape} to {wanted}: give two sizes, for an image that is not empty"
        )
    for axis, size in zip((-2, -1), wanted, strict=True):
        length = x.shape[axis]
        count = length if size is None else whole(size, "output_size", 1, 10_000)
        if count != length:
            moved = x.swapaxes(axis, -1)
            ends = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
            x = ops.stack([ops.mean(moved[..., a:b], axis=-1) for a, b in ends], axis=-1).swapaxes(axis, -1)
    return x


def _image(input: Any, name: str) -> Any:
    x = floats(input, f"{name}'s input")
    if x.ndim < 2:
        raise ShapeError(f"{name} takes images (..., H, W), the input has shape {x.shape}")
    return x


def _geometry(kernel_size: Any, stride: Any, padding: Any) -> tuple[Pair, Pair, Pair]:
    kernel, edge = sizes(kernel_size, "kernel_size", least=1), sizes(padding, "padding")
    steps = kernel if stride is None else sizes(stride, "stride", least=1)
    if any(2 * p > k for p, k in zip(edge, kernel, strict=True)):
        raise BadInput(f"padding {edge} is more than half of the kernel {kernel}: some windows would see padding only")
    return kernel, steps, edge


def _beyond(x: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """How far the last windows reach beyond the padding, down and across."""
    extra = []
    for n, k, s, p, d in zip(x.shape[-2:], kernel, stride, padding, dilation, strict=True):
        span = d * (k - 1) + 1
        last = math.ceil((n + 2 * p - span) / s)
        last -= last * s >= n + p
        extra.append(max(0, last * s + span - n - 2 * p))
    return tuple(extra)
