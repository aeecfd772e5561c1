"""The two kinds of state a Module has: what is trained, and what is only kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fedlearn.autograd.mode import mode
from fedlearn.autograd.node import raw
from fedlearn.autograd.tensor import Tensor
from fedlearn.errors import BadInput, GraphError


class Parameter(Tensor):
    """A tensor that training changes. Set as an attribute of a Module, it is one of its parameters."""

    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(raw(data), requires_grad)  # of a computed tensor, too: it begins a history of its own


class Buffer(Tensor):
    """A tensor that is part of a Module's state but not trained, as running statistics are."""


def buffer_of(value: Any, name: str) -> Buffer:
    """A buffer of these numbers; `GraphError` where that would lose a gradient without a word."""
    if isinstance(value, Tensor) and value.requires_grad and mode.recording:
        raise GraphError(f"{name} is a Buffer, which records nothing, and a value that wants a gradient: detach() it")
    return Buffer(value)


def flatten(parameters: Iterable[Tensor]) -> np.ndarray:
    """The one contiguous 1-D array that all these parameters, in this order, are views of.

    Where they are not yet consecutive views of one array, their numbers are moved into a new one.
    """
    members = list(parameters)
    if not members:
        return np.zeros(0, np.float32)
    whole = consecutive([p._data for p in members])
    if whole is None:
        dtypes = {p.dtype for p in members}
        if len(dtypes) > 1:
            raise BadInput(f"parameters of one model share one dtype, found {', '.join(map(str, dtypes))}: cast them")
        whole = np.concatenate([p._data.ravel() for p in members])
        start = 0
        for p in members:
            p._data = whole[start : start + p.size].reshape(p.shape)
            start += p.size
    return whole


def consecutive(arrays: Sequence[np.ndarray]) -> np.ndarray | None:
    """The stretch of memory that these arrays fill without a gap and in this order, if they do."""
    base = arrays[0].base
    if not isinstance(base, np.ndarray) or base.ndim != 1 or not base.flags.c_contiguous:
        return None
    first = address = _address(arrays[0])
    for array in arrays:
        if array.base is not base or _address(array) != address or not array.flags.c_contiguous:
            return None
        address += array.nbytes
    start = (first - _address(base)) // base.itemsize
    return base[start : start + (address - first) // base.itemsize]


def place_in(part: np.ndarray, whole: np.ndarray) -> slice:
    """Where a stretch of a vector begins and ends in it."""
    start = (_address(part) - _address(whole)) // whole.itemsize
    return slice(start, start + len(part))


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]  # quicker than `array.ctypes`
    return address
