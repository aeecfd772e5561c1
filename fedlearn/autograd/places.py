"""Whole numbers that name rows, classes or steps: their dtype, and whether each of them is there."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.node import raw
from fedlearn.checked import as_array
from fedlearn.errors import BadInput

INT64 = np.dtype(np.int64)  # NumPy has one object for it, in this machine's byte order
UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def indices(given: Any, name: str) -> np.ndarray:
    """An array of whole numbers, int64 or int32; `name` says whose. Larger ones than int64 has stay as they are."""
    if type(given) is np.ndarray and given.dtype is INT64:
        return given
    array = as_array(f"numbers for each {name}", raw(given))
    if array.dtype.kind not in "iu":
        raise BadInput(f"each {name} is a whole number, not {array.dtype}: cast them to int64")
    if array.dtype == np.uint64 and array.size and not all_below(array, 2**63):
        return array.astype(np.uint64, copy=False)
    return array.astype(np.int32 if array.dtype == np.int32 else np.int64, copy=False)


def checked_indices(given: Any, count: int, name: str) -> np.ndarray:
    """`given` as an array of whole numbers below `count`, else `BadInput`; `name` says whose they are."""
    array = indices(given, name)
    check_range(array, count, name)
    return array


def check_range(numbers: np.ndarray, count: int, name: str) -> None:
    """Raise `BadInput` for a whole number that is not in [0, count)."""
    if numbers.size and not all_below(numbers, count):
        low, high = numbers.min(), numbers.max()
        raise BadInput(f"{name} {low if low < 0 else high} is out of range: valid are 0 to {count - 1}")


def all_below(numbers: np.ndarray, count: int) -> bool:
    """True where all whole numbers lie in [0, count): read as unsigned, a negative one is larger than any count."""
    return bool(np.maximum.reduce(numbers.view(UNSIGNED[numbers.itemsize]), None) < count)
