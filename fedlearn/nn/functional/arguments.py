"""Checks of layers' arguments. Each error names the value, the limit and the remedy."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.autograd.mode import mode
from fedlearn.autograd.node import raw
from fedlearn.autograd.tensor import Tensor
from fedlearn.checked import as_array
from fedlearn.errors import BadInput, ShapeError

MOST = 2**62  # whole numbers that NumPy can count with
LARGEST = 2**34  # numbers in one array: what is larger is a mistake, and fits no machine that this runs on

Size = int | Sequence[int]  # one number for every axis, or one for each


def numbers(x: Any, name: str) -> Any:
    """`x` as a Tensor or an array of numbers; lists become float32."""
    if isinstance(x, Tensor):
        return x
    if type(x) is not np.ndarray:
        x = as_array(f"the numbers of {name}", x if isinstance(x, np.ndarray | np.generic) else Tensor(x).numpy())
    if x.dtype.kind not in "fiub":
        raise BadInput(f"{name} holds {x.dtype}, not numbers: cast it to float32")
    return x


def floats(x: Any, name: str) -> Any:
    """The same, with whole numbers and truth values made float32."""
    if isinstance(x, Tensor):
        if x._data.dtype.kind == "f":
            return x
    else:
        x = numbers(x, name)
    if x.dtype.kind == "f":
        return x
    return ops.astype(x, dtype=np.dtype(np.float32))


def constants(x: Any, name: str) -> np.ndarray:
    """The array of floats of something that gets no gradient: `BadInput` where it wants one."""
    x = floats(x, name)
    if isinstance(x, Tensor) and x.requires_grad:
        raise BadInput(f"{name} wants a gradient, which is not computed: detach() it")
    return np.asarray(raw(x))


def finite(x: Any, name: str) -> Any:
    """The same; raises `BadInput` for weights that are nan or infinite, with which no gradient is finite."""
    if not np.isfinite(raw(x)).all():
        raise BadInput(f"{name} holds a number that is not finite: give finite weights")
    return x


def whole(value: Any, name: str, least: int | None = None, most: int = MOST) -> int:
    """A whole number, Python's or NumPy's, not below `least` nor above `most`; no truth value."""
    try:
        number = None if isinstance(value, bool | np.bool_) else int(operator.index(value))
    except TypeError:
        number = None
    if number is None:
        raise BadInput(f"{name} is {value!r:.60}: give a whole number")
    if least is not None and number < least:
        raise BadInput(f"{name} is {number}: give {least} or more")
    if number > most:
        raise BadInput(f"{name} is {number}: give {most:,} or less")
    return number


def real(value: Any, name: str, low: float = -math.inf, high: float = math.inf, finite: bool = True) -> float:
    """A number from `low` to `high`, both allowed; finite, unless it need not be."""
    if isinstance(value, Tensor) and value.requires_grad and mode.recording:
        raise BadInput(f"{name} wants a gradient, which is not computed: give a number, or compute with ops")
    try:
        number = float(value) if not isinstance(value, str | complex | np.complexfloating) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (low <= number <= high) or (finite and math.isinf(number)):
        limits = [f"{low:g} or more"] * (low > -math.inf) + [f"{high:g} or less"] * (high < math.inf)
        raise BadInput(f"{name} is {value!r:.60}: give a finite number" + ", ".join(["", *limits]))
    return number


def sizes(value: Any, name: str, axes: int = 2, least: int = 0) -> tuple[int, ...]:
    """One whole number for each of so many axes, from one for all or from one each."""
    given = value if isinstance(value, tuple | list) else (value,)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        given = value.tolist()
    if len(given) not in (1, axes):
        raise BadInput(f"{name} is {value!r:.60}: give one whole number, or {axes} of them")
    found = tuple(whole(size, name, least) for size in given)
    return found * axes if len(found) == 1 else found


def axis_of(x: Any, dim: Any, name: str) -> int:
    """The axis `dim` of x, counted from the end where it is negative, as one from 0 on."""
    number, axes = whole(dim, f"dim of {name}"), max(1, len(x.shape))
    if not -axes <= number < axes:
        raise ShapeError(f"{name} along dim {number}, the input has shape {x.shape}: give {-axes} to {axes - 1}")
    return number % axes


def has_shape(x: Any, shape: tuple[int, ...], name: str) -> None:
    """Raise `ShapeError` unless x, where there is one, has this shape."""
    if x is not None and (found := _shape(x, name)) != shape:
        raise ShapeError(f"{name} has shape {found} where {shape} belongs")


def fits_into(x: Any, shape: tuple[int, ...], name: str) -> None:
    """Raise `ShapeError` unless x, where there is one, broadcasts to this shape."""
    if x is None:
        return
    found = _shape(x, name)
    try:
        fits = np.broadcast_shapes(found, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{name} of shape {found} does not go into {shape}")


def _shape(x: Any, name: str) -> tuple[int, ...]:
    return as_array(name, raw(x)).shape


def same_shape(input: Any, target: Any, name: str) -> None:
    if input.shape != target.shape:
        raise ShapeError(f"{name}: input {input.shape} and target {target.shape} differ in shape: reshape one of them")


def shaped(shape: Sequence[Any], name: str) -> tuple[int, ...]:
    """The sizes of an array to be made, whole numbers that are not negative, and not more than fit a machine."""
    found = tuple(whole(size, f"a size of {name} {tuple(shape)!r:.60}", 0) for size in shape)
    if math.prod(found) > LARGEST:
        raise BadInput(f"{name} of shape {found!r:.60} has more than {LARGEST:,} numbers: give smaller sizes")
    return found
