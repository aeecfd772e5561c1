"""Inputs that nobody expects, by kind; tables of them are run over every public function."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from fedlearn.errors import FedlearnError

Change = Callable[[np.ndarray], Any]


def with_one(x: np.ndarray, value: float) -> np.ndarray:
    """A seventh of all numbers, and at least one, replaced."""
    x = x.copy() if x.dtype.kind == "f" else x.astype(np.float64)
    x.reshape(-1)[: 1 + x.size // 7] = value
    return x


def strided(x: np.ndarray) -> np.ndarray:
    """Every other number of a larger array, from the back."""
    room = np.zeros((*x.shape, 2), x.dtype)[..., ::-1]
    room[..., 1] = x
    return room[..., 1]


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x: np.ndarray) -> np.ndarray:
    y = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def mapped(x: np.ndarray) -> np.ndarray:
    if not x.size:
        return x
    with tempfile.TemporaryFile() as file:
        y = np.memmap(file, x.dtype, "w+", shape=x.shape or (1,))
    y[...] = x
    return y.reshape(x.shape)


def as_list(x: np.ndarray) -> Any:
    """Python numbers; floats rounded to float32, which lists become."""
    return x.astype(np.float32).astype(x.dtype).tolist() if x.dtype.kind == "f" else x.tolist()


LAYOUTS: dict[str, Change] = {  # the same numbers, which must give the same result
    "strided": strided,
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "unaligned": unaligned,
    "memory-mapped": mapped,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "list": as_list,
}
NUMBERS: dict[str, Change] = {  # other numbers: as the oracle, or a typed error
    "empty": lambda x: x[:0],
    "all axes empty": lambda x: np.zeros((0,) * x.ndim, x.dtype),
    "no channels": lambda x: x[:, :0] if x.ndim > 1 else x[:0],
    "size one": lambda x: x[(slice(0, 1),) * x.ndim],
    "one example": lambda x: x[:1],
    "a single number": lambda x: np.array(x.reshape(-1)[0]),
    "wrong rank, more": lambda x: x[None, None],
    "wrong rank, less": lambda x: np.asarray(x[0]),
    "zeros": np.zeros_like,
    "nan": lambda x: with_one(x, np.nan),
    "inf": lambda x: with_one(x, np.inf),
    "-inf": lambda x: with_one(x, -np.inf),
    "huge": lambda x: x.astype(np.float64) * 1e150,
    "tiny": lambda x: x.astype(np.float64) * 1e-300,
    "whole numbers": lambda x: np.round(x).astype(np.int64),
    "bytes": lambda x: np.abs(np.round(x)).astype(np.uint8),
    "truth": lambda x: x > 0,
}
FLOATING = ("nan", "inf", "-inf", "huge", "tiny")  # what whole numbers cannot be
NO_NUMBERS: dict[str, Change] = {  # refused
    "objects": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "complex": lambda x: x.astype(complex),
    "dates": lambda x: np.zeros(x.shape, "datetime64[s]"),
    "nothing": lambda x: None,
    "a word": lambda x: "word",
}
ODD_ARGUMENTS = [
    None,
    float("nan"),
    float("inf"),
    -1,
    -2.5,
    0,
    1.5,
    2**70,
    2**2100,
    "word",
    b"bytes",
    [],
    {},
    (1, 2, 3, 4, 5, 6, 7),
    object(),
    True,
]


def with_odd_arguments(args: tuple, options: dict[str, Any]) -> Iterator[tuple[tuple, dict[str, Any]]]:
    """The arguments with each replaced in turn."""
    for odd in ODD_ARGUMENTS:
        for i in range(len(args)):
            yield (*args[:i], odd, *args[i + 1 :]), options
        for name in options:
            yield args, {**options, name: odd}


def attempt(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What a call gives, or the typed error that it raises, which is one line."""
    try:
        return call(*args, **options)
    except FedlearnError as error:
        return in_one_line(error)


def in_one_line(error: Exception) -> Any:
    assert "\n" not in str(error), error
    return error


def public_functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The functions that a module defines and shows."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and not isinstance(value, type)
        and getattr(value, "__module__", "") == module.__name__
    }
