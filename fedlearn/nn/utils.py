"""Functions on all parameters of a model at once, under PyTorch's names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fedlearn.autograd import ops, watch
from fedlearn.autograd.node import next_id, raw
from fedlearn.autograd.rows import RowSparse
from fedlearn.autograd.tensor import Tensor
from fedlearn.checked import flag, listed
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.functional.arguments import floats, real
from fedlearn.wording import many


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = True,
) -> float:
    """Scale all gradients so that together their norm is at most `max_norm`; returns the norm they had.

    A row-sparse gradient stays one; an infinite `max_norm` scales nothing. norm_type: 1 or more, infinity (or "inf")
    for the largest number. Raises `BadInput` where the norm is not finite, unless error_if_nonfinite is False: then
    they are scaled by it, as PyTorch does.
    """
    real(max_norm, "max_norm", 0, finite=False)
    error_if_nonfinite = flag("error_if_nonfinite", error_if_nonfinite)
    infinite = isinstance(norm_type, str) and norm_type == "inf"
    power = math.inf if infinite else real(norm_type, "norm_type", 1, finite=False)
    members = _tensors(parameters)
    gradients = _gradients(members)
    norms = [_norm(g.ravel(), power) for g in gradients if g.size]
    total = float(_norm(np.array(norms), power)) if norms else 0.0
    if error_if_nonfinite and not np.isfinite(total):
        raise BadInput(f"the gradients have the norm {total}: lower the learning rate, or look for a division by 0")
    factor = max_norm / (total + 1e-6)
    if not factor >= 1:
        with np.errstate(all="ignore"):
            for g in gradients:
                g *= g.dtype.type(factor)
        _announce(members)
    return total


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Hold every number of the gradients between -clip_value and clip_value."""
    bound = real(clip_value, "clip_value", 0)
    members = _tensors(parameters)
    for g in _gradients(members):
        np.clip(g, -bound, bound, out=g)
    _announce(members)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Any:
    """All numbers of some tensors, one after the other (P,): a copy, through which gradients reach the tensors."""
    members = _tensors(parameters)
    if not members:
        raise BadInput("there are no parameters to make a vector of: pass module.parameters()")
    return ops.concatenate([ops.reshape(p, shape=(p.size,)) for p in members])


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Write the numbers of a vector (P,) into some tensors, one after the other."""
    members, numbers = _tensors(parameters), np.array(raw(floats(vec, "the vector")))  # may be their own memory
    if numbers.shape != (sum(p.size for p in members),):
        wanted = many(sum(p.size for p in members), "number")
        raise ShapeError(f"the vector has shape {numbers.shape}: these parameters take {wanted}")
    start = 0
    for p in members:
        p[...] = numbers[start : start + p.size].reshape(p.shape)
        start += p.size


def _gradients(members: list[Tensor]) -> list[np.ndarray]:
    """The numbers of all gradients that may be other than 0, to read and to change."""
    return [p._grad.values if isinstance(p._grad, RowSparse) else p._grad._data for p in members if p._grad is not None]


def _announce(members: list[Tensor]) -> None:
    """Tell the tape that gradients were changed, which may have histories of their own."""
    for p in members:
        if isinstance(p._grad, Tensor):
            watch.announce([p._grad], next_id())


def _norm(numbers: np.ndarray, power: float) -> float:
    """The norm of (n,); scaled by the largest number where powers over- or underflow."""
    numbers = numbers if numbers.dtype.itemsize > 2 else numbers.astype(np.float32)
    with np.errstate(all="ignore"):
        if power in (1, 2, math.inf):
            norm = float(np.linalg.norm(numbers, power))
            if 0 < norm < math.inf:
                return norm
        largest = float(np.abs(numbers).max())
        if not 0 < largest < math.inf:
            return largest
        return float(largest * np.sum((np.abs(numbers) / largest) ** power) ** (1 / power))


def _tensors(parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    members = [parameters] if isinstance(parameters, Tensor) else list(listed(parameters, "parameters"))
    for p in members:
        if not isinstance(p, Tensor):
            raise BadInput(f"a {type(p).__name__} is no parameter: pass module.parameters()")
    return members
