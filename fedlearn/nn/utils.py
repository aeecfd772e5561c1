"""What is done to the parameters of a whole model at once, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fedlearn.autograd.rows import RowSparse
from fedlearn.autograd.tensor import Tensor
from fedlearn.errors import BadInput


def clip_grad_norm_(parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0) -> float:
    """Scale all gradients so that together their norm is at most `max_norm`; returns the norm they had.

    A row-sparse gradient stays one. Raises `BadInput` where the norm is not finite.
    """
    if not max_norm >= 0:
        raise BadInput(f"max_norm {max_norm} is out of range: give 0 or more")
    members = [parameters] if isinstance(parameters, Tensor) else parameters
    gradients = [_numbers(p._grad) for p in members if p._grad is not None]
    norms = [np.linalg.norm(g.ravel(), norm_type) for g in gradients]
    total = float(np.linalg.norm(norms, norm_type)) if norms else 0.0
    if not np.isfinite(total):
        raise BadInput(f"the gradients have the norm {total}: lower the learning rate, or look for a division by 0")
    factor = max_norm / (total + 1e-6)
    if factor < 1:
        for g in gradients:
            g *= g.dtype.type(factor)
    return total


def _numbers(gradient: Any) -> np.ndarray:
    """The numbers of a gradient that may be other than 0, to read and to change."""
    return gradient.values if isinstance(gradient, RowSparse) else gradient._data
