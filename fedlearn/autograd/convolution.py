"""Convolution over images (N, C, H, W), in one go (see `fused`).

Windows are copied once, into columns, so that a convolution is a product of matrices. The columns are kept for the way
back.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd.arrays import unbroadcast
from fedlearn.autograd.graph import Fused
from fedlearn.autograd.ops import reshape, unsqueeze, windows
from fedlearn.autograd.ops.windows import Pair, summed_back


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
