"""Sliding windows over images, from which convolution and pooling are made, and the way back."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd.graph import Op
from fedlearn.errors import ShapeError

Pair = tuple[int, int]


def _windows(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, fill: float) -> np.ndarray:
    height, width = output_size(x.shape, kernel, stride, padding, dilation)
    x = framed(x, padding, (0, 0), fill)
    *outer, down, right = x.strides
    steps = (down * dilation[0], right * dilation[1], down * stride[0], right * stride[1])
    shape = (*x.shape[:-2], *kernel, height, width)
    return np.lib.stride_tricks.as_strided(x, shape, (*outer, *steps), writeable=False)


def framed(x: np.ndarray, padding: Pair, beyond: Pair, fill: float) -> np.ndarray:
    """Images (..., H, W) with padding all around, and `beyond` more at the bottom and on the right."""
    if not any(padding) and not any(beyond):
        return x
    (rows, columns), (top, left) = x.shape[-2:], padding
    whole = np.full((*x.shape[:-2], rows + 2 * top + beyond[0], columns + 2 * left + beyond[1]), fill, x.dtype)
    whole[..., top : top + rows, left : left + columns] = x  # quicker than np.pad
    return whole


def summed_back(g: np.ndarray, shape: Any, stride: Pair, padding: Pair, dilation: Pair) -> np.ndarray:
    """Windows (..., h, w, H', W') added up, each number at the place (..., H, W) that it was seen at."""
    *outer, kernel_height, kernel_width, height, width = g.shape
    images, (top, left), (rows, columns) = prod(outer), padding, shape[-2:]
    # The images last: of small ones the rows are short, and NumPy adds long stretches quicker.
    seen = np.ascontiguousarray(np.moveaxis(g.reshape(images, *g.shape[-4:]), 0, -1))
    padded = np.zeros((rows + 2 * top, columns + 2 * left, images), g.dtype)
    for i in range(kernel_height):
        down = slice(i * dilation[0], i * dilation[0] + (height - 1) * stride[0] + 1, stride[0])
        for j in range(kernel_width):
            across = slice(j * dilation[1], j * dilation[1] + (width - 1) * stride[1] + 1, stride[1])
            padded[down, across] += seen[i, j]
    inner = padded[top : top + rows, left : left + columns]
    return np.ascontiguousarray(np.moveaxis(inner, -1, 0)).reshape(*outer, rows, columns)


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
    summed_back,
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
