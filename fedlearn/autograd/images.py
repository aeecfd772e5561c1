"""Convolution and the largest numbers of windows, over images (N, C, H, W), each in one go (see `fused`).

Windows are copied once, into columns, so that a convolution is a product of matrices. What stands in the columns, or
where a largest number was found, is kept for the way back.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd.arrays import remembered, unbroadcast
from fedlearn.autograd.graph import Fused
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops import pad, pick, reshape, transpose, unsqueeze, windows
from fedlearn.autograd.ops.windows import Pair, framed, summed_back


def _in_groups(shape: tuple[int, ...], groups: int) -> tuple[int, ...]:
    """A weight's shape (O, C / groups, h, w), as that of a matrix for each group."""
    matrix = (shape[0] // groups, prod(shape[1:]))
    return (groups, *matrix) if groups > 1 else matrix


def _conv2d(
    x: np.ndarray, weight: np.ndarray, bias: Any = None, *,
    stride: Pair, padding: Pair, dilation: Pair, groups: int,
) -> tuple[Any, Any]:  # fmt: skip
    kernel = weight.shape[-2:]
    seen = windows.forward(x, kernel=kernel, stride=stride, padding=padding, dilation=dilation, fill=0.0)
    rows = weight.reshape(_in_groups(weight.shape, groups))
    places = prod(seen.shape[-2:])
    columns = seen.reshape(len(x), *rows.shape[:-2], rows.shape[-1], places)
    out = (rows @ columns).reshape(len(x), len(weight), places)
    if bias is not None:
        out = out + bias[:, None]
    return out.reshape(*out.shape[:2], *seen.shape[-2:]), columns


def _conv2d_vjp_x(
    g: np.ndarray, columns: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: Any = None, *,
    stride: Pair, padding: Pair, dilation: Pair, groups: int,
) -> Any:  # fmt: skip
    rows = weight.reshape(_in_groups(weight.shape, groups))
    seen = rows.mT @ _as_columns(g, columns, rows)
    seen = seen.reshape(*x.shape[:2], *weight.shape[-2:], *g.shape[-2:])
    return summed_back(seen, x.shape, stride, padding, dilation)


def _conv2d_vjp_weight(
    g: np.ndarray,
    columns: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: Any = None,
    *,
    groups: int,
    **geometry: Any,
) -> Any:
    rows = weight.reshape(_in_groups(weight.shape, groups))
    return unbroadcast(_as_columns(g, columns, rows) @ columns.mT, rows.shape).reshape(weight.shape)


def _conv2d_vjp_bias(g: np.ndarray, columns: np.ndarray, x: Any, weight: Any, bias: np.ndarray, **options: Any) -> Any:
    return unbroadcast(g.reshape(*g.shape[:2], columns.shape[-1]), (len(bias), 1)).reshape(bias.shape)


def _as_columns(g: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The gradient of a result (N, O, H', W') as that of its columns: (N, O, H' W'), or for each group."""
    return g.reshape(*columns.shape[:-2], rows.shape[-2], columns.shape[-1])


def _conv2d_composed(
    x: Any, weight: Any, bias: Any = None, *, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Any:
    kernel = weight.shape[-2:]
    seen = windows(x, kernel=kernel, stride=stride, padding=padding, dilation=dilation, fill=0.0)
    rows = reshape(weight, shape=_in_groups(weight.shape, groups))
    places = seen.shape[-2:]
    out = rows @ reshape(seen, shape=(len(x), *rows.shape[:-2], rows.shape[-1], prod(places)))
    out = reshape(out, shape=(len(x), len(weight), prod(places)))
    if bias is not None:
        out = out + unsqueeze(bias, -1)
    return reshape(out, shape=(*out.shape[:2], *places))


conv2d = Fused("conv2d", _conv2d, None, _conv2d_composed, _conv2d_vjp_x, _conv2d_vjp_weight, _conv2d_vjp_bias)
"""Images (N, C, H, W) with weight (O, C / groups, h, w) and, if there is one, bias (O,) -> (N, O, H', W')."""


# Padding is -inf, on all sides, and `beyond` more at the bottom and on the right.


@remembered
def _corners(images: int, shape: Pair, places: Pair, stride: Pair) -> np.ndarray:
    """Where windows begin, in framed images (H, W) taken as one row: (images, H', W')."""
    height, width = shape
    down, across = (np.arange(count) * step for count, step in zip(places, stride, strict=True))
    return np.arange(images)[:, None, None] * (height * width) + (down[:, None] * width + across)


def _spread(kernel: Pair, dilation: Pair, width: int) -> np.ndarray:
    """How far the numbers of a window (h w,) lie from its corner, in images so wide."""
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
    """Which number of each window is the largest, of equal ones the first: (..., H', W'), below h w.

    A window of nothing but -inf has its first number that is none of the padding.
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
        back.reshape(-1)[at] = g + 0
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
