"""Choices between numbers. A gradient is selected, too: what was not chosen has 0, even where 0 times it is nan."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.face import function
from fedlearn.autograd.graph import Op
from fedlearn.autograd.node import Node, raw
from fedlearn.errors import BadInput

ZERO = np.zeros((), np.float16)  # as narrow as any float, so that it widens none; quicker than Python's 0
WORDS = {"f": np.int32, "d": np.int64}  # whole numbers as wide as a float
MANY = 2048  # numbers from which on it pays to select them by their bits


def masked(mask: Any, g: Any) -> Any:
    """`g` where the mask holds, else 0."""
    if type(g) is not np.ndarray:
        return where(mask, g, 0)
    return _and(g, -_word(mask, g)) if _is_many(mask, g) else np.where(mask, g, ZERO)


def unmasked(mask: Any, g: Any) -> Any:
    """0 where the mask holds, else `g`."""
    if type(g) is not np.ndarray:
        return where(mask, 0, g)
    return _and(g, _word(mask, g) - 1) if _is_many(mask, g) else np.where(mask, ZERO, g)


def _is_many(mask: Any, g: np.ndarray) -> bool:
    """True where bits select faster: NumPy's selection takes ten times as long where the mask follows no pattern."""
    return g.size >= MANY and g.dtype.char in WORDS and type(mask) is np.ndarray


def _word(mask: np.ndarray, g: np.ndarray) -> Any:
    """1 or 0, as wide as the numbers of `g`."""
    return mask.astype(WORDS[g.dtype.char])


def _and(g: np.ndarray, word: np.ndarray) -> Any:
    """`g` where all bits of the word are set, 0 where none is."""
    return (g.view(word.dtype) & word).view(g.dtype)


def _mask(condition: Any) -> np.ndarray:
    return np.asarray(raw(condition), bool)


where: Op = Op(
    "where",
    lambda condition, a, b: np.where(condition, a, b),
    None,
    lambda g, y, condition, a, b: masked(_mask(condition), g),
    lambda g, y, condition, a, b: unmasked(_mask(condition), g),
)


@function
def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """`value` where the mask holds, else `x`, in the precision of `x`."""
    if not isinstance(value, Node):
        plain = np.asarray(value)
        if not np.can_cast(plain.dtype, x.dtype, "same_kind"):
            raise BadInput(f"masked_fill with {value!r} does not go into {x.dtype}: convert one of them")
        value = plain.astype(x.dtype)
    return where(mask, value, x)


def _inside(x: Any, low: Any, high: Any) -> Any:
    values = raw(x)
    inside = ~np.isnan(values)
    if low is not None:
        inside &= values >= low
    if high is not None:
        inside &= values <= high
    return inside


clip = Op(
    "clip",
    lambda x, low=None, high=None: np.clip(x, low, high),
    lambda g, y, x, low=None, high=None: masked(_inside(x, low, high), g),
)


def _share(a: Any, b: Any, g: Any, larger: bool) -> Any:
    """The gradient of `a` in the extreme of `a` and `b`: all of it, half of it where both are equal, none."""
    a, b = raw(a), raw(b)
    equal = a == b
    chosen = (a > b if larger else a < b) | equal | np.isnan(a) | np.isnan(b)
    g = masked(chosen, g)
    return g * (1 - 0.5 * equal).astype(g.dtype) if np.any(equal) else g


# Where one is nan the result is, and both have the whole gradient, as in PyTorch.
maximum = Op(
    "maximum",
    np.maximum,
    lambda g, y, a, b: _share(a, b, g, True),
    lambda g, y, a, b: _share(b, a, g, True),
)
minimum = Op(
    "minimum",
    np.minimum,
    lambda g, y, a, b: _share(a, b, g, False),
    lambda g, y, a, b: _share(b, a, g, False),
)

relu = Op("relu", lambda x: np.maximum(x, 0), lambda g, y, x: unmasked(raw(y) <= 0, g))
leaky_relu = Op(
    "leaky_relu",
    lambda x, slope: np.where(x > 0, x, slope * x),
    lambda g, y, x, slope: where(raw(x) > 0, g, slope * g if slope else 0.0),
)
