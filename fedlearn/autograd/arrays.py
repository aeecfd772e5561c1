"""The arrays that a tensor may hold: whole and floating-point numbers and bools, in the machine's own byte order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVarTuple

import numpy as np

from fedlearn.autograd.node import raw
from fedlearn.checked import as_array
from fedlearn.errors import BadInput

NUMBERS = "?bBhHiIlLqQefd"  # the dtypes, by their characters, whatever their byte order
REMEMBERED, SMALL = 64, 1 << 19  # the most arrays that a function remembers, and the most bytes of each
Arguments = TypeVarTuple("Arguments")


def remembered(make: Callable[[*Arguments], np.ndarray]) -> Callable[[*Arguments], np.ndarray]:
    """The same function, which keeps the small arrays that it makes and gives them again: nobody may write to them.

    It is for arrays that follow from the arguments alone and are needed in every step. Large ones are made anew.
    """
    known: dict[tuple[*Arguments], np.ndarray] = {}

    @wraps(make)
    def found(*args: *Arguments) -> np.ndarray:
        array = known.get(args)
        if array is None:
            array = make(*args)
            if array.nbytes <= SMALL:
                if len(known) >= REMEMBERED:
                    known.clear()
                known[args] = array
        return array

    return found


def array_of(data: Any) -> np.ndarray:
    """A new array of what is given: Python numbers and lists become float32, arrays keep their precision.

    Raises `ShapeError` for nested lists of unequal length, and `BadInput` for anything but numbers and bools.
    """
    given = raw(data)
    array = as_array("a tensor's numbers", given)
    if not hasattr(given, "__array__"):
        if array.dtype.kind in "fiu":
            return array.astype(np.float32)
        if array.dtype.kind != "b":
            raise BadInput(f"{given!r:.60} is no tensor: a tensor holds numbers, give one, a list of them or an array")
    refuse_other_than_numbers(array)
    return array.astype(plain_dtype(array.dtype))


def plain_dtype(dtype: np.dtype) -> np.dtype:
    """The same numbers in the machine's byte order, without metadata."""
    return np.dtype(dtype.char)


def refuse_other_than_numbers(array: np.ndarray) -> None:
    """Raise `BadInput` for an array of objects, text, dates, complex or extended-precision numbers."""
    if array.dtype.char not in NUMBERS:
        raise BadInput(
            f"a tensor holds float16 to float64, whole numbers or bools, not {array.dtype}: convert it with astype"
        )


def widens(values: Iterable[Any]) -> bool:
    """True where a result of these is a double: one of them is, and it is no lone number beside float32 arrays."""
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    wide = [array for array in arrays if array.dtype.char == "d"]
    if all(array.ndim == 0 for array in wide):
        return bool(wide) and not any(array.ndim and array.dtype.char in "ef" for array in arrays)
    return True


def is_half(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.char == "e"


def as_float(value: Any, half: bool = True) -> Any:
    """Whole numbers and bools as float32, floats as they are; without `half`, float16 becomes float32, too."""
    if not isinstance(value, np.ndarray) or value.dtype.char in "fd" or (half and value.dtype.char == "e"):
        return value
    refuse_other_than_numbers(value)
    return value.astype(np.float32)


def operand(x: Any) -> Any:
    """Make an array of an operand beside a Tensor: NumPy scalars count as Python numbers, lists as float32 arrays."""
    if isinstance(x, np.ndarray):
        x = as_array("a tensor's numbers", x)
        refuse_other_than_numbers(x)
        return x
    if isinstance(x, float | int):
        return x
    return x.item() if isinstance(x, np.generic) else array_of(x)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum the gradient of a broadcast array back to the `shape` it was broadcast from."""
    extra = g.ndim - len(shape)
    stretched = (i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    axes = (*range(extra), *stretched)
    if axes:
        g = g.sum(axis=axes)
    return g.reshape(shape)
