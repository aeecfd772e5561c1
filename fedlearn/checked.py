"""Arrays that somebody gave, checked at the door: numbers, of the rank that is meant, and comparable."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.errors import BadInput, ShapeError


def as_array(name: str, values: Any) -> np.ndarray:
    """The value as an array; raises `ShapeError` for nested lists of unequal length."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{name} are nested lists of unequal length: {error}") from None


def real_array(name: str, values: Any, ndim: int | None = None, nan: bool = False) -> np.ndarray:
    """Numbers as float64; raises `BadInput` for what is none, or nan unless allowed, `ShapeError` for another rank."""
    array = _checked(name, as_array(name, values), "?iuf", "numbers", ndim).astype(np.float64, copy=False)
    if not nan and np.isnan(array).any():
        where = int(np.flatnonzero(np.isnan(array))[0])
        raise BadInput(f"{name} number {where} is nan, which is neither above nor below anything: leave it out")
    return array


def whole_array(name: str, values: Any, ndim: int | None = None, below: int | None = None) -> np.ndarray:
    """Whole numbers as int64, 0 <= number < below where that is given; raises `BadInput` or `ShapeError` else.

    Floats that are whole, as float32 labels are, will do.
    """
    array = _checked(name, as_array(name, values), "iuf", "whole numbers", ndim)
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and np.array_equal(array, np.floor(array))):
        raise BadInput(f"{name} hold a number that is not whole: whole numbers are needed")
    if array.size and below is not None and not 0 <= array.min() <= array.max() < below:
        raise BadInput(f"{name} go from {array.min():g} to {array.max():g}: they must be from 0 to {below - 1}")
    return array.astype(np.int64, copy=False)


def same_length(**arrays: np.ndarray) -> int:
    """Their common length; raises `ShapeError` for arrays of different lengths, `BadInput` where there is nothing."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"{' and '.join(f'{n} {name}' for name, n in lengths.items())}: give one for each")
    length = next(iter(lengths.values()))
    if not length:
        raise BadInput(f"no {' and no '.join(lengths)}: give at least one")
    return length


def _checked(name: str, array: np.ndarray, kinds: str, what: str, ndim: int | None) -> np.ndarray:
    if array.dtype.kind not in kinds:
        raise BadInput(f"{name} are of type {array.dtype}, {what} are needed")
    if ndim is not None and array.ndim != ndim:
        raise ShapeError(f"{name} have shape {array.shape}: {ndim} axes are needed")
    return array
