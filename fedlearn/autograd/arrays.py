"""What a tensor may hold: whole and floating-point numbers and bools, in the machine's own byte order."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.node import raw
from fedlearn.errors import BadInput, ShapeError


def array_of(data: Any) -> np.ndarray:
    """A new array of what is given: Python numbers and lists become float32, arrays keep their precision.

    Raises `ShapeError` for nested lists of unequal length, and `BadInput` for anything but numbers and bools.
    """
    given = raw(data)
    try:
        array = np.array(given)
    except ValueError as error:
        raise ShapeError(f"nested lists of unequal length are no tensor: {error}") from None
    if array.dtype.kind in "fiu" and not hasattr(given, "__array__"):
        return array.astype(np.float32)
    refuse_other_than_numbers(array)
    return array.astype(plain_dtype(array.dtype), copy=False)


def plain_dtype(dtype: np.dtype) -> np.dtype:
    """The same numbers in the machine's byte order, without metadata."""
    return np.dtype(dtype.char)


def refuse_other_than_numbers(array: np.ndarray) -> None:
    """Raise `BadInput` for an array of objects, text, dates, complex or extended-precision numbers."""
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise BadInput(
            f"a tensor holds float16 to float64, whole numbers or bools, not {array.dtype}: convert it with astype"
        )


def is_double(value: Any) -> bool:
    """Whether it is an array of float64, however its dtype came to be (pickled, big-endian, with metadata)."""
    return isinstance(value, np.ndarray) and value.dtype.char == "d"
