"""State dicts: arrays by name, checked as a whole before one of them is written into a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fedlearn.autograd.node import raw
from fedlearn.autograd.tensor import Tensor
from fedlearn.checked import as_array
from fedlearn.errors import BadInput, ShapeError


class IncompatibleKeys(NamedTuple):
    """The names that a loaded state dict lacked, and those that it had too many."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def fitting(
    state: Any, own: Mapping[str, Tensor], strict: bool, kind: str
) -> tuple[dict[str, np.ndarray], IncompatibleKeys]:
    """The arrays of `state` that go into the tensors `own` of a `kind`, by name, and which names do not match.

    Raises `ShapeError` where a shape differs or, if `strict`, a name is missing or unknown, and `BadInput` for what
    are no numbers, or none that a tensor can hold.
    """
    if not isinstance(state, Mapping):
        raise BadInput(f"a state dict is {state!r:.60}: give arrays by name, as state_dict() returns them")
    arrays = {name: _numbers(value, name) for name, value in state.items() if name in own}
    keys = IncompatibleKeys([n for n in own if n not in state], [n for n in state if n not in own])
    wrong = [
        f"{name} is {own[name].shape} here and {array.shape} there"
        for name, array in arrays.items()
        if array.shape != own[name].shape
    ]
    if strict:
        wrong += [f"{name} {own[name].shape} is missing" for name in keys.missing_keys]
        wrong += [f"{name} is unknown" for name in keys.unexpected_keys]
    if wrong:
        raise ShapeError(f"the state dict is of another model than this {kind}: {'; '.join(wrong)}")
    for name, array in arrays.items():
        if own[name].dtype.kind in "iu" and not (np.isfinite(array) & (np.abs(array) < 2.0**63)).all():
            raise BadInput(f"{name} holds nan, infinity or a number beyond 2^63: it is of whole numbers")
        if own[name].dtype.kind == "f" and np.can_cast(own[name].dtype, array.dtype) and array.dtype != own[name].dtype:
            most = np.finfo(own[name].dtype).max
            if (np.isfinite(array) & (np.abs(array) > most)).any():
                raise BadInput(f"{name} holds numbers beyond {most:.3g}, the most of {own[name].dtype}: call double()")
    return arrays, keys


def _numbers(value: Any, name: str) -> np.ndarray:
    """One entry of a state dict as an array."""
    array = as_array(f"the numbers of {name}", raw(value))
    if array.dtype.kind not in "fiub":
        raise BadInput(f"{name} holds {array.dtype}, not numbers: a state dict is of arrays")
    return array
