"""Arguments that are not what they should be, refused by name before anything is computed."""

from __future__ import annotations

from contextlib import suppress
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from fedlearn.errors import BadInput, CodecError, ShapeError

BYTES = (bytes, bytearray, memoryview)


def whole(name: str, value: Any, error: type[BadInput] = CodecError) -> int:
    """An integer, NumPy's too, as Python's; raises `error` for anything else."""
    if type(value) is int:  # as most are
        return value
    with suppress(TypeError):
        if not isinstance(value, bool) and type(value).__name__ != "bool":  # NumPy's bool is an integer, too
            return int(index(value))
    raise error(f"{name} is {value!r:.80}, an integer is needed: leave a fraction or text out")


def real(name: str, value: Any) -> float:
    """A real number that float64 holds; raises `CodecError` for anything else."""
    if type(value) is float:  # as most are
        return value
    if isinstance(value, int | float | Real) and not isinstance(value, bool):  # the usual kinds are found first
        with suppress(OverflowError):
            return float(value)
    raise CodecError(f"{name} is {value!r:.80}, a real number is needed that float64 holds")


def given(name: str, value: Any, kind: type | tuple[type, ...], error: type[BadInput]) -> None:
    """Raise `error` for an argument that is no instance of `kind`."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(each.__name__ for each in kinds)
        raise error(f"{name} is {value!r:.80}: give {wanted}")


def array_of(values: Any, kinds: str = "", what: str = "") -> np.ndarray:
    """`values` as an array of one of NumPy's `kinds`, named by `what`; raises `CodecError`, or `ShapeError`."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"nested lists of unequal length are no array: {error}") from None
    if kinds and array.dtype.kind not in kinds and (array.size or array.dtype != np.float64):  # as of an empty list
        raise CodecError(f"values of type {array.dtype} are not a codec's: give an array of {what}")
    return array
