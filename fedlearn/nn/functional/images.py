"""Convolution and padding. Sizes are one number, or one for each axis; a batch axis may be left out."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd import convolution, ops
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.functional.arguments import Size, floats, has_shape, numbers, real, shaped, sizes, whole
from fedlearn.wording import many

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # PyTorch's names, and NumPy's


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """`input` with more numbers at the ends of its last axes: pad = (left, right, top, bottom...), the last axis first.

    mode: "constant" (`value`, by default 0; a negative size cuts off), "reflect", "replicate" or "circular".
    """
    x = numbers(input, "pad's input")
    if not isinstance(pad, tuple | list) and not (isinstance(pad, np.ndarray) and pad.ndim == 1):
        raise BadInput(f"pad is {pad!r:.60}: give two whole numbers an axis, the last axis first")
    widths = tuple(whole(width, "pad") for width in pad)
    if len(widths) % 2 or len(widths) > 2 * x.ndim:
        raise ShapeError(f"pad {widths} of an input of shape {x.shape}: give two sizes an axis, the last axis first")
    if mode not in ("constant", *MODES):
        raise BadInput(f"unknown padding mode {mode!r:.60}: choose constant, {', '.join(MODES)}")
    if mode != "constant" and value is not None:
        raise BadInput(f"padding mode {mode} takes its numbers from the input: leave value out")
    ends = [(0, 0)] * (x.ndim - len(widths) // 2) + list(zip(widths[-2::-2], widths[::-2], strict=True))
    for axis, (before, after) in enumerate(ends):
        if x.shape[axis] + min(before, 0) + min(after, 0) < 0:
            raise ShapeError(f"pad {widths} cuts off more than an input of shape {x.shape} has: cut less")
    shaped([n + a + b for n, (a, b) in zip(x.shape, ends, strict=True)], "the padded input")
    if mode != "constant":
        return _pad_with_its_own(x, ends, mode)
    x = x[tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(x.shape, ends, strict=True))]
    fill = 0.0 if value is None else real(value, "pad's value", finite=False)
    return ops.pad(x, widths=tuple((max(0, a), max(0, b)) for a, b in ends), value=fill)


def _pad_with_its_own(x: Any, ends: Sequence[tuple[int, int]], mode: str) -> Any:
    """By taking positions twice: which, NumPy's padding of the positions says."""
    for axis, (before, after) in enumerate(ends):
        if before == after == 0:
            continue
        most = x.shape[axis] - (mode == "reflect") if mode != "replicate" else max(before, after) * x.shape[axis]
        if min(before, after) < 0 or max(before, after) > most:
            raise ShapeError(f"{mode} padding of {before} and {after} for axis {axis} of {x.shape}: give 0 to {most}")
        places = np.pad(np.arange(x.shape[axis]), (before, after), mode=MODES[mode])  # type: ignore[call-overload]
        x = x[(slice(None),) * axis + (places,)]
    return x


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """input (N, C, H, W) with weight (O, C / groups, h, w) and bias (O,) -> (N, O, H', W').

    padding may be "valid" (0) or "same" (H' = H, W' = W, for stride 1). With groups, output channels see only the
    input channels of their own group. Without a batch axis, (C, H, W) -> (O, H', W').
    """
    x, weight = _batched(input, weight, 2, "conv2d")
    groups = _fitting(x, weight, bias, groups, "conv2d")
    steps, spread = sizes(stride, "stride", least=1), sizes(dilation, "dilation", least=1)
    x, edge = _padded(x, padding, weight.shape[-2:], steps, spread)
    given = (x, weight) if bias is None else (x, weight, numbers(bias, "conv2d's bias"))
    out = convolution.conv2d(*given, stride=steps, padding=edge, dilation=spread, groups=groups)
    return out if np.ndim(input) == 4 else out[0]


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """input (N, C, L) with weight (O, C / groups, l) and bias (O,) -> (N, O, L'); the rest as in `conv2d`."""
    x, weight = _batched(input, weight, 1, "conv1d")
    groups = _fitting(x, weight, bias, groups, "conv1d")
    (step,), (spread,) = sizes(stride, "stride", 1, 1), sizes(dilation, "dilation", 1, 1)
    edge = padding if isinstance(padding, str) else (0, *sizes(padding, "padding", 1))
    flat = (ops.unsqueeze(x, -2), ops.unsqueeze(weight, -2), bias)
    out = conv2d(*flat, (1, step), edge, (1, spread), groups)
    out = ops.reshape(out, shape=(*out.shape[:2], out.shape[-1]))
    return out if np.ndim(input) == 3 else out[0]


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Any:
    """The way back of `conv2d`: input (N, C, H, W), weight (C, O / groups, h, w), bias (O,) -> (N, O, H', W').

    H' = (H - 1) stride - 2 padding + dilation (h - 1) + output_padding + 1, where output_padding is below stride.
    """
    x, weight = _batched(input, weight, 2, "conv_transpose2d")
    groups = whole(groups, "groups", 1)
    if x.shape[1] != len(weight) or len(weight) % groups or min(weight.shape) < 1 or min(x.shape[2:]) < 1:
        raise ShapeError(
            f"conv_transpose2d: input {x.shape} does not fit weight {weight.shape} in {many(groups, 'group')}: "
            "(N, C, H, W) and (C, O / groups, h, w), C a multiple of groups"
        )
    channels, kernel = weight.shape[1] * groups, weight.shape[2:]
    has_shape(bias, (channels,), "conv_transpose2d's bias, one number an output channel,")
    steps, edge, spread = sizes(stride, "stride", least=1), sizes(padding, "padding"), sizes(dilation, "dilation", 2, 1)
    more = sizes(output_padding, "output_padding")
    if any(extra >= step for extra, step in zip(more, steps, strict=True)):
        raise BadInput(f"output_padding {more} is not below stride {steps}: take a smaller one")
    geometry = zip(x.shape[2:], steps, edge, spread, kernel, more, strict=True)
    shape = tuple((n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n, s, p, d, k, extra in geometry)
    if min(shape) < 1:
        raise ShapeError(f"conv_transpose2d with padding {edge} leaves an image of {shape}: take less padding")
    rows = ops.reshape(weight, shape=(groups, len(weight) // groups, prod(weight.shape[1:])))
    columns = rows.swapaxes(-1, -2) @ ops.reshape(x, shape=(len(x), groups, len(weight) // groups, prod(x.shape[2:])))
    seen = ops.reshape(columns, shape=(len(x), channels, *kernel, *x.shape[2:]))
    out = ops.overlap_add(seen, shape=(len(x), channels, *shape), stride=steps, padding=edge, dilation=spread)
    if bias is not None:
        out = out + ops.reshape(numbers(bias, "conv_transpose2d's bias"), shape=(channels, 1, 1))
    return out if np.ndim(input) == 4 else out[0]


def _batched(input: Any, weight: Any, axes: int, name: str) -> tuple[Any, Any]:
    """Both as numbers, the input with a batch axis, of so many spatial axes."""
    x, weight = floats(input, f"{name}'s input"), floats(weight, f"{name}'s weight")
    if x.ndim not in (axes + 1, axes + 2) or weight.ndim != axes + 2:
        shape = "(N, C, L)" if axes == 1 else "(N, C, H, W)"
        raise ShapeError(
            f"{name}: input {x.shape} does not fit weight {weight.shape}: give {shape}, without N for a single one, "
            "and a weight of as many axes"
        )
    return (ops.unsqueeze(x, 0) if x.ndim == axes + 1 else x), weight


def _fitting(x: Any, weight: Any, bias: Any, groups: int, name: str) -> int:
    """The number of groups, if input, weight and bias go together in as many."""
    groups = whole(groups, "groups", 1)
    if x.shape[1] != weight.shape[1] * groups or len(weight) % groups or min(weight.shape) < 1:
        raise ShapeError(
            f"{name}: input {x.shape} does not fit weight {weight.shape} in {many(groups, 'group')}: (N, C, ...) and "
            "(O, C / groups, ...), O a multiple of groups"
        )
    has_shape(bias, (len(weight),), f"{name}'s bias, one number an output channel,")
    return groups


def _padded(x: Any, padding: Any, kernel: Any, stride: Any, dilation: Any) -> tuple[Any, tuple[int, ...]]:
    """The input, and the padding that is still to be added on both sides."""
    if not isinstance(padding, str):
        return x, sizes(padding, "padding")
    if padding == "valid":
        return x, (0, 0)
    if padding != "same" or max(stride) > 1:
        raise BadInput(f"padding {padding!r:.60} with stride {stride}: give numbers, valid, or same with stride 1")
    whole_width = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    odd = [(0, width % 2) for width in whole_width]
    if any(after for _, after in odd):
        x = ops.pad(x, widths=((0, 0), (0, 0), *odd), value=0.0)
    return x, tuple(width // 2 for width in whole_width)
