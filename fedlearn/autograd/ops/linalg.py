"""Products of matrices, on the last two axes; whatever stands before them is broadcast."""

from __future__ import annotations

import string
from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd.arrays import remembered
from fedlearn.autograd.face import function
from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops.pieces import diagonal
from fedlearn.autograd.ops.shape import axes_of, broadcast_to, reshape, transpose
from fedlearn.errors import BadInput, ShapeError
from fedlearn.wording import many


def _t(x: Any) -> Any:
    return x.mT


def _rows(x: Any) -> Any:
    """(..., n) as one matrix of rows."""
    return x if x.ndim == 2 else x.reshape((prod(x.shape[:-1]), x.shape[-1]))


def _as_matrices(g: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Vectors made into the row or the column that a product takes them for."""
    if b.ndim == 1:
        g, b = g[..., None], b[:, None]
    if a.ndim == 1:
        g, a = g[..., None, :], a[None, :]
    return g, a, b


def _matmul_vjp_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 1 or b.ndim == 1:
        g, a, b = _as_matrices(g, a, b)
    return g @ _t(b)


def _matmul_vjp_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    column = b.ndim == 1
    if a.ndim == 1 or b.ndim == 1:
        g, a, b = _as_matrices(g, a, b)
    gb = crossed.directly(_rows(a), _rows(g)) if b.ndim == 2 else crossed.directly(a, g)
    return gb[..., 0] if column else gb


matmul = Op(
    "matmul",
    np.matmul,
    _matmul_vjp_a,
    _matmul_vjp_b,
    fits="the first has as many columns as the second has rows, axes before these broadcast, and numbers multiply by *",
)


def _linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> Any:
    try:
        if weight.ndim == 2 and x.ndim != 2:
            y = (_rows(x) @ weight.T).reshape(*x.shape[:-1], len(weight))
        else:
            y = x @ weight.mT
    except (ValueError, IndexError, AttributeError):
        _refuse_columns(x, weight)
        raise
    if bias is not None:
        y += bias if bias.ndim == 1 else bias[..., None, :]
    return y


def _refuse_columns(x: np.ndarray, weight: np.ndarray) -> None:
    """Raise `ShapeError` where an input has another number of columns than a layer takes."""
    shape = np.shape(x)
    if not shape or shape[-1] != weight.shape[-1]:
        given = f"{many(shape[-1], 'column')}: shape {shape}" if shape else "none: it is a single number"
        wanted = f"a layer with weight {weight.shape} takes {many(weight.shape[-1], 'column')}"
        raise ShapeError(f"linear does not fit its input: {wanted}, the input has {given}") from None


def _linear_vjp_x(g: Any, y: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    return (_rows(g) @ weight).reshape(x.shape) if weight.ndim == 2 and g.ndim != 2 else g @ weight


def _linear_vjp_weight(g: Any, y: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    return crossed.directly(_rows(g), _rows(x)) if weight.ndim == 2 else crossed.directly(g, x)


def _linear_vjp_bias(g: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
    return row_sum.directly(_rows(g) if bias.ndim == 1 else g)


crossed = Op(
    "crossed",
    lambda a, b: _t(a) @ b,
    lambda g, y, a, b: b @ _t(g),
    lambda g, y, a, b: a @ g,
)
"""(..., n, p) transposed times (..., n, q): what each row says of a matrix, summed over the rows."""


def _summed(rows: np.ndarray) -> Any:
    return _ones(rows.shape[-2], rows.dtype) @ rows  # a sum, by BLAS


row_sum = Op(
    "row_sum",
    _summed,
    lambda g, y, x: broadcast_to.directly(g[..., None, :], shape=x.shape),
    linear=True,
    floats=True,
)
"""(..., n, p) summed over its rows: (..., p)."""


@remembered
def _ones(count: int, dtype: Any) -> np.ndarray:
    return np.ones(count, dtype)


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


_einsum = Op("einsum", lambda *xs, spec: np.einsum(spec, *xs, optimize=len(xs) > 1), joint=_einsum_joint, view=True)


@function
def einsum(spec: str, *operands: Any) -> Any:
    """Sums of products by letters, as `numpy.einsum`; a letter repeated within an operand takes its diagonal."""
    letters, result = _explicit(spec.replace(" ", ""), operands)
    singles = [_without_repeats(mine, x) for mine, x in zip(letters, operands, strict=True)]
    singles = _broadcast([mine for mine, _ in singles], [x for _, x in singles])
    return _einsum(*(x for _, x in singles), spec=",".join(mine for mine, _ in singles) + "->" + result)


def _broadcast(letters: list[str], operands: list[Any]) -> list[tuple[str, Any]]:
    """Operands as long along a letter's axis as the others, where they have the length 1."""
    sizes: dict[str, int] = {}
    for mine, x in zip(letters, operands, strict=True):
        for letter, n in zip(mine, np.shape(raw(x)), strict=True):
            known = sizes.get(letter, 1)
            if n != known and 1 not in (n, known):
                raise ShapeError(f"einsum: letter {letter!r} stands for {known} and for {n}")
            sizes[letter] = n if known == 1 else known
    shapes = [tuple(sizes[letter] for letter in mine) for mine in letters]
    whole = [
        x if np.shape(raw(x)) == shape else broadcast_to(x, shape=shape)
        for x, shape in zip(operands, shapes, strict=True)
    ]
    return list(zip(letters, whole, strict=True))


def _without_repeats(letters: str, x: Any) -> tuple[str, Any]:
    """An operand's letters, each once, and the operand with the diagonal of axes that share one."""
    for letter in sorted(set(letters)):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            if x.shape[first] != x.shape[second]:
                raise ShapeError(f"einsum: letter {letter!r} stands for {x.shape[first]} and for {x.shape[second]}")
            x = diagonal(x, 0, first, second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    return letters, x


def _explicit(spec: str, operands: tuple[Any, ...]) -> tuple[list[str], str]:
    """The letters of each operand, with some in the place of dots, and those of the result."""
    inputs, arrow, result = spec.partition("->")
    letters = inputs.split(",")
    if len(letters) != len(operands):
        raise BadInput(f"einsum {spec!r} names {many(len(letters), 'operand')}, given were {len(operands)}")
    spare = [c for c in string.ascii_letters if c not in spec]
    dots = ""
    for i, (mine, x) in enumerate(zip(letters, operands, strict=True)):
        if "..." in mine:
            own = "".join(spare[: np.ndim(x) - len(mine) + 3])
            if dots and own != dots:
                raise BadInput(
                    f"einsum {spec!r}: the dots stand for {many(len(dots), 'axis', 'axes')} here and {len(own)} there"
                )
            dots = own
            letters[i] = mine.replace("...", own)
    if not arrow:
        joined = "".join(letters)
        result = dots + "".join(sorted(c for c in set(joined) - set(dots) if joined.count(c) == 1))
    result = result.replace("...", dots)
    if len(set(result)) < len(result):
        raise BadInput(f"einsum {spec!r} repeats a letter in its result: each stands there once")
    return letters, result


@function
def outer(a: Any, b: Any) -> Any:
    """All products of a number of `a` and one of `b`, both made flat: (n, m)."""
    return reshape(a, shape=(-1, 1)) * reshape(b, shape=(1, -1))


@function
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Products summed over some axes of `a` and as many of `b`: a number of them, or two lists."""
    if np.ndim(axes) == 0:
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ShapeError(
                f"tensordot over {many(axes, 'axis', 'axes')} of {a.shape} and {b.shape}: give 0 to "
                f"{min(a.ndim, b.ndim)}"
            )
        left, right = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    else:
        left, right = (axes_of(tuple(np.atleast_1d(side)), x.ndim) for side, x in zip(axes, (a, b), strict=True))
    sizes = [tuple(x.shape[i] for i in side) for side, x in ((left, a), (right, b))]
    if sizes[0] != sizes[1]:
        raise ShapeError(f"tensordot over axes of sizes {sizes[0]} and {sizes[1]}: they do not agree")
    rest = [[i for i in range(x.ndim) if i not in side] for side, x in ((left, a), (right, b))]
    shape = tuple(a.shape[i] for i in rest[0]) + tuple(b.shape[i] for i in rest[1])
    rows = reshape(transpose(a, axes=(*rest[0], *left)), shape=(prod(a.shape[i] for i in rest[0]), prod(sizes[0])))
    columns = reshape(transpose(b, axes=(*right, *rest[1])), shape=(prod(sizes[0]), prod(b.shape[i] for i in rest[1])))
    return reshape(matmul(rows, columns), shape=shape)


@function
def dot(a: Any, b: Any) -> Any:
    """Of vectors their inner product, of matrices their product; more axes as `numpy.dot`, a number scales."""
    if not np.ndim(raw(a)) or not np.ndim(raw(b)):
        return a * b
    return matmul(a, b) if b.ndim < 3 and a.ndim < 3 else tensordot(a, b, ((-1,), (-1 if b.ndim == 1 else -2,)))
