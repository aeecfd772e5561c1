"""Sliding windows over images, from which convolution and pooling are made, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Op
from fedlearn.errors import ShapeError

Pair = tuple[int, int]


def _windows(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, fill: float) -> np.ndarray:
    height, width = output_size(x.shape, kernel, stride, padding, dilation)
    if any(padding):
        (rows, columns), inner = x.shape[-2:], x
        x = np.full((*x.shape[:-2], rows + 2 * padding[0], columns + 2 * padding[1]), fill, x.dtype)
        x[..., padding[0] : padding[0] + rows, padding[1] : padding[1] + columns] = inner  # quicker than np.pad
    *outer, down, right = x.strides
    steps = (down * dilation[0], right * dilation[1], down * stride[0], right * stride[1])
    shape = (*x.shape[:-2], *kernel, height, width)
    return np.lib.stride_tricks.as_strided(x, shape, (*outer, *steps), writeable=False)


def _overlap_add(g: np.ndarray, shape: Any, stride: Pair, padding: Pair, dilation: Pair) -> np.ndarray:
    *outer, kernel_height, kernel_width, height, width = g.shape
    padded = np.zeros((*outer, shape[-2] + 2 * padding[0], shape[-1] + 2 * padding[1]), g.dtype)
    for i in range(kernel_height):
        rows = slice(i * dilation[0], i * dilation[0] + (height - 1) * stride[0] + 1, stride[0])
        for j in range(kernel_width):
            columns = slice(j * dilation[1], j * dilation[1] + (width - 1) * stride[1] + 1, stride[1])
            padded[..., rows, columns] += g[..., i, j, :, :]
    bottom, right = padded.shape[-2] - padding[0], padded.shape[-1] - padding[1]
    return padded[..., padding[0] : bottom, padding[1] : right]


windows: Op = Op(
    "windows",
    _windows,
    lambda g, y, x, kernel, stride, padding, dilation, fill: overlap_add(
        g, shape=x.shape, stride=stride, padding=padding, dilation=dilation
    ),
    linear=True,
    view=True,
)
"""x (..., H, W) -> (..., kernel height, kernel width, H', W'): all that the kernel sees at each place."""

overlap_add: Op = Op(
    "overlap_add",
    _overlap_add,
    lambda g, y, x, shape, stride, padding, dilation: windows(
        g, kernel=x.shape[-4:-2], stride=stride, padding=padding, dilation=dilation, fill=0.0
    ),
    linear=True,
)
"""Windows (..., h, w, H', W') summed back, each number to the place (..., H, W) it was seen at."""


def output_size(shape: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """How many places the kernel has, down and across."""
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = [(n + 2 * p - span) // s + 1 for n, p, span, s in zip(shape[-2:], padding, spans, stride, strict=True)]
    if min(sizes) < 1 or min(*kernel, *stride, *dilation) < 1 or min(padding) < 0:
        raise ShapeError(
            f"kernel {kernel} with stride {stride}, padding {padding} and dilation {dilation} "
            f"has no place in an image of {tuple(shape[-2:])}: take a smaller kernel or more padding"
        )
    return sizes[0], sizes[1]
