"""The kernels that recurrent layers have by the current plan: NumPy's calls, compiled steps, or compiled sequences."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

import numpy as np

from fedlearn.autograd.kernel_plan import current

SMALL = 1024  # units times sequences up to which a compiled loop beats calling NumPy at every step


def pointwise() -> ModuleType:
    """The elementwise kernels of the current plan."""
    return named("compiled" if current().compiled else "pointwise")


@cache
def named(name: str) -> ModuleType:
    """A module of kernels, imported when first needed: some need numba."""
    return import_module(f"fedlearn.autograd.recurrent.{name}")


def whole_sequences(weight: np.ndarray, batch: int) -> bool:
    """True if an LSTM with this weight (4H, H) is so small that its whole loop is compiled."""
    hidden = weight.shape[1]
    small = hidden * batch <= SMALL and hidden <= 64
    return current().compiled and small and weight.dtype == np.float32
