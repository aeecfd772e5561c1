"""The largest numbers of windows over images (..., H, W), in one go (see `fused`).

Padding is -inf, on all sides, and `beyond` more at the bottom and on the right. The places where the largest numbers
were found are kept for the way back.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd.arrays import remembered
from fedlearn.autograd.graph import Fused
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops import pad, pick, reshape, transpose, windows
from fedlearn.autograd.ops.windows import Pair, framed, summed_back


@remembered
def _corners(images: int, shape: Pair, places: Pair, stride: Pair) -> np.ndarray:
    """The place of each window's first number, in framed images (H, W) taken as one row: (images, H', W')."""
    height, width = shape
    down, across = (np.arange(count) * step for count, step in zip(places, stride, strict=True))
    return np.arange(images)[:, None, None] * (height * width) + (down[:, None] * width + across)


def _spread(kernel: Pair, dilation: Pair, width: int) -> np.ndarray:
    """How far each number of a window lies from its first one, in images of this width: (h w,)."""
    down, across = (np.arange(count) * step for count, step in zip(kernel, dilation, strict=True))
    return (down[:, None] * width + across).ravel()


def _max_pool(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, beyond: Pair
) -> tuple[Any, Any]:
    frame = framed(x, padding, beyond, -np.inf)
    index = _largest(frame, x.shape, kernel, stride, padding, dilation, beyond)
    corners = _corners(prod(x.shape[:-2]), frame.shape[-2:], index.shape[-2:], stride)
    at = corners.reshape(index.shape) + _spread(kernel, dilation, frame.shape[-1]).take(index)
    return frame.reshape(-1).take(at), (frame.shape, index, at)


def _largest(
    frame: np.ndarray, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, beyond: Pair
) -> np.ndarray:
    """The place of each window's largest number in it, of equal ones the first: (..., H', W'), below h w.

    In a window of nothing but -inf it is the first place that is no padding.
    """
    rows = _windows_last(frame, kernel, stride, dilation)
    index: np.ndarray = rows.argmax(axis=-1)
    firsts = np.arange(0, rows.size, rows.shape[-1]).reshape(index.shape)
    nothing = rows.reshape(-1).take(firsts + index) == -np.inf
    if nothing.any():
        inside = framed(np.ones(shape[-2:]), padding, beyond, 0.0)
        index = np.where(nothing, _windows_last(inside, kernel, stride, dilation).argmax(axis=-1), index)
    return index


def _windows_last(x: np.ndarray, kernel: Pair, stride: Pair, dilation: Pair) -> np.ndarray:
    """Images (..., H, W) -> (..., H', W', h w): what each window holds, in a row."""
    seen = windows.forward(x, kernel=kernel, stride=stride, padding=(0, 0), dilation=dilation, fill=0.0)
    rows = np.empty((*seen.shape[:-4], *seen.shape[-2:], prod(kernel)), x.dtype)
    for place in range(prod(kernel)):
        rows[..., place] = seen[..., place // kernel[1], place % kernel[1], :, :]
    return rows


def _max_pool_vjp(
    g: np.ndarray, kept: Any, x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, beyond: Pair
) -> Any:
    shape, index, at = kept
    back = np.zeros(shape, x.dtype)
    if all(d * (k - 1) < s for d, k, s in zip(dilation, kernel, stride, strict=True)):  # no two windows meet
        back.reshape(-1)[at] = g + 0  # -0 becomes 0, as where sums are taken
    else:
        seen = np.zeros((*g.shape[:-2], prod(kernel), *g.shape[-2:]), g.dtype)
        np.put_along_axis(seen, index[..., None, :, :], g[..., None, :, :], axis=-3)
        seen = seen.reshape(*g.shape[:-2], *kernel, *g.shape[-2:])
        back = summed_back(seen, back.shape, stride, (0, 0), dilation)
    (top, left), (height, width) = padding, x.shape[-2:]
    return np.ascontiguousarray(back[..., top : top + height, left : left + width])


def _max_pool_composed(x: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, beyond: Pair) -> Any:
    ends = tuple((p, p + more) for p, more in zip(padding, beyond, strict=True))
    frame = pad(x, widths=((0, 0),) * (x.ndim - 2) + ends, value=-np.inf)
    index = _largest(raw(frame), x.shape, kernel, stride, padding, dilation, beyond)
    seen = windows(frame, kernel=kernel, stride=stride, padding=(0, 0), dilation=dilation, fill=0.0)
    rows = transpose(seen, axes=(*range(seen.ndim - 4), -2, -1, -4, -3))
    return pick(reshape(rows, shape=(*rows.shape[:-2], prod(kernel))), index=index)


max_pool = Fused("max_pool", _max_pool, None, _max_pool_composed, _max_pool_vjp)
"""The largest number of each window (..., H, W) -> (..., H', W'); of equal ones the first has the gradient."""
