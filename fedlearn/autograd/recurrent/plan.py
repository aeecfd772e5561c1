"""How the product that every time step repeats is computed: decided once per run, since it can change bits.

A few rows times a wide matrix is the shape that BLAS handles worst. OpenBLAS has a quick path for small
products only; a matrix cut into blocks of columns, multiplied as a batch, takes that path. Whether it pays
depends on the machine and the shapes, so it is timed (`KernelPlan.measure`), recorded in the run, and sent to
every worker (`use`). The default is the plain product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np

from fedlearn.errors import BadInput

BLOCKS = (0, 32, 64, 128)
SMALL = 64  # units up to which a compiled loop beats calling BLAS and NumPy at every step


@dataclass(frozen=True)
class KernelPlan:
    """Columns per block in the forward and in the backward product (0: not cut); elementwise parts by numba or not."""

    forward_block: int = 0
    backward_block: int = 0
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.compiled and not find_spec("numba"):
            raise BadInput(
                "the kernel plan asks for compiled kernels and numba is not installed: pip install fedlearn[fast]"
            )
        for block in (self.forward_block, self.backward_block):
            if block not in BLOCKS:
                raise BadInput(f"kernel block {block!r} is unknown: choose one of {BLOCKS}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a run's record and for its workers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plan: Mapping[str, Any]) -> KernelPlan:
        try:
            return cls(**plan)
        except TypeError as error:
            raise BadInput(f"not a kernel plan: {dict(plan)!r}; give what KernelPlan.to_dict() returned") from error

    @classmethod
    def measure(cls, batch: int, hidden: int, gates: int = 4) -> KernelPlan:
        """The fastest plan, here and now, for `batch` sequences and `hidden` units of `gates` gates (LSTM 4, GRU 3)."""
        forward = _fastest((batch, hidden), gates, hidden)
        backward = _fastest((gates, batch, hidden), gates, hidden)
        return cls(forward, backward, compiled=find_spec("numba") is not None)


_current = KernelPlan()


def use(plan: KernelPlan) -> None:
    """Compute by `plan` from now on, in this process."""
    global _current
    _current = plan


def current() -> KernelPlan:
    return _current


def pointwise() -> ModuleType:
    """The elementwise kernels of the current plan."""
    return kernels("compiled" if _current.compiled else "pointwise")


def kernels(name: str) -> ModuleType:
    """A module of kernels, imported when first needed: some need numba."""
    return import_module(f"fedlearn.autograd.recurrent.{name}")


def whole_sequences(weight: np.ndarray) -> bool:
    """Whether a recurrent layer with this weight (G H, H) is so small that its whole loop is compiled."""
    hidden = weight.shape[1]
    return _current.compiled and hidden <= SMALL and hidden % 4 == 0 and weight.dtype == np.float32


def times(matrices: np.ndarray, block: int) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function (a, out) that writes a @ matrices (G, K, N), by blocks of `block` columns, into out (G, B, N).

    a is (B, K), the same for all matrices, or (G, B, K).
    """
    gates, inner, width = matrices.shape
    if not block or width % block or width == block:
        whole = np.ascontiguousarray(matrices)

        def multiply_whole(a: np.ndarray, out: np.ndarray) -> None:
            np.matmul(a, whole, out=out)

        return multiply_whole
    blocks = np.ascontiguousarray(matrices.reshape(gates, inner, -1, block).swapaxes(1, 2))

    def multiply(a: np.ndarray, out: np.ndarray) -> None:
        cut = out.reshape(gates, -1, width // block, block).swapaxes(1, 2)
        np.matmul(a if a.ndim == 2 else a[:, None], blocks, out=cut)

    return multiply


def _fastest(shape: tuple[int, ...], gates: int, hidden: int) -> int:
    """The block size with the shortest time for a (shape) @ (gates, hidden, hidden); the plain product if near it."""
    rng = np.random.default_rng(0)
    a, matrices = rng.standard_normal(shape, np.float32), rng.standard_normal((gates, hidden, hidden), np.float32)
    out = np.empty((gates, *shape[-2:-1], hidden), np.float32)
    products = {block: times(matrices, block) for block in BLOCKS}
    best = dict.fromkeys(BLOCKS, float("inf"))
    for _ in range(12):
        for block, multiply in products.items():
            begin = perf_counter()
            for _ in range(4):
                multiply(a, out)
            best[block] = min(best[block], perf_counter() - begin)
    best[0] *= 0.95
    return min(best, key=best.__getitem__)
