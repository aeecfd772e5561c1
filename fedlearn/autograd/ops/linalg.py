"""Products of matrices, on the last two axes; whatever stands before them is broadcast."""

from __future__ import annotations

import string
from functools import lru_cache
from typing import Any

import numpy as np

from fedlearn.autograd.graph import Op
from fedlearn.autograd.ops.shape import broadcast_to, reshape
from fedlearn.errors import BadInput


def _t(x: Any) -> Any:
    return x.swapaxes(-1, -2)


def _rows(x: Any) -> Any:
    """(..., n) as one matrix of rows."""
    return x if x.ndim == 2 else x.reshape((-1, x.shape[-1]))


def _as_matrices(g: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Vectors made into the row or the column that a product takes them for."""
    if b.ndim == 1:
        g, b = g[..., None], b[:, None]
    if a.ndim == 1:
        g, a = g[..., None, :], a[None, :]
    return g, a, b


def _matmul_vjp_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    g, a, b = _as_matrices(g, a, b)
    return g @ _t(b)


def _matmul_vjp_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    column = b.ndim == 1
    g, a, b = _as_matrices(g, a, b)
    gb = _t(_rows(a)) @ _rows(g) if b.ndim == 2 else _t(a) @ g
    return gb[..., 0] if column else gb


matmul = Op("matmul", np.matmul, _matmul_vjp_a, _matmul_vjp_b)


def _linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    if weight.ndim == 2 and x.ndim != 2:
        y = (_rows(x) @ weight.T).reshape(*x.shape[:-1], len(weight))
    else:
        y = x @ _t(weight)
    if bias is not None:
        y += bias if bias.ndim == 1 else bias[..., None, :]
    return y


def _linear_vjp_x(g: Any, y: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    return (_rows(g) @ weight).reshape(x.shape) if weight.ndim == 2 and g.ndim != 2 else g @ weight


def _linear_vjp_weight(g: Any, y: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    return _t(_rows(g)) @ _rows(x) if weight.ndim == 2 else _t(g) @ x


def _linear_vjp_bias(g: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
    rows = _rows(g) if bias.ndim == 1 else g
    return (_ones(rows.shape[-2], rows.dtype) @ rows)[..., 0, :]  # a sum, by BLAS


@lru_cache(maxsize=64)
def _ones(count: int, dtype: Any) -> np.ndarray:
    return np.ones((1, count), dtype)


linear = Op("linear", _linear, _linear_vjp_x, _linear_vjp_weight, _linear_vjp_bias)
"""x (..., n, in) times weight (..., out, in) transposed, plus bias (..., out): one layer, or a stack of them."""


def _einsum_joint(g: Any, y: Any, *operands: Any, spec: str) -> list[Any]:
    inputs, result = spec.split("->")
    letters = inputs.split(",")
    gradients = []
    for i, (mine, x) in enumerate(zip(letters, operands, strict=True)):
        others = [j for j in range(len(operands)) if j != i]
        reached = set(result).union(*(letters[j] for j in others))
        kept = "".join(c for c in mine if c in reached)
        sources = ",".join([result, *(letters[j] for j in others)])
        gx = _einsum(g, *(operands[j] for j in others), spec=f"{sources}->{kept}")
        lined_up = tuple(n if c in reached else 1 for c, n in zip(mine, x.shape, strict=True))
        gradients.append(broadcast_to(reshape(gx, shape=lined_up), shape=x.shape))
    return gradients


_einsum = Op("einsum", lambda *xs, spec: np.einsum(spec, *xs, optimize=len(xs) > 1), joint=_einsum_joint)


def einsum(spec: str, *operands: Any) -> Any:
    """Sums of products by letters, as `numpy.einsum`; an operand may not repeat a letter of its own."""
    return _einsum(*operands, spec=_explicit(spec.replace(" ", ""), operands))


def _explicit(spec: str, operands: tuple[Any, ...]) -> str:
    """`spec` with its result written out and letters in the place of dots."""
    inputs, arrow, result = spec.partition("->")
    letters = inputs.split(",")
    if len(letters) != len(operands):
        raise BadInput(f"einsum {spec!r} names {len(letters)} operands, given were {len(operands)}")
    spare = [c for c in string.ascii_letters if c not in spec]
    dots = ""
    for i, (mine, x) in enumerate(zip(letters, operands, strict=True)):
        if "..." in mine:
            own = "".join(spare[: np.ndim(x) - len(mine) + 3])
            if dots and own != dots:
                raise BadInput(f"einsum {spec!r}: the dots stand for {len(dots)} axes here and {len(own)} there")
            dots = own
            letters[i] = mine.replace("...", own)
        if len(set(letters[i])) < len(letters[i]):
            raise BadInput(f"einsum {spec!r} repeats a letter within one operand: take the diagonal first")
    if not arrow:
        joined = "".join(letters)
        result = dots + "".join(sorted(c for c in set(joined) - set(dots) if joined.count(c) == 1))
    return ",".join(letters) + "->" + result.replace("...", dots)
