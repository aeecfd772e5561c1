"""How the product that every time step repeats is computed: decided once per run, since it can change bits.

A few rows times a wide matrix is the shape that BLAS handles worst. OpenBLAS has a quick path, without packing, for
products of at most `QUICK` multiplications; a matrix cut into blocks of columns, multiplied as a batch, takes that
path. How it is cut follows from the shapes alone, so that a run gives the same bits whenever and by whomever it is
computed. Whether cutting pays depends on the machine: `KernelPlan.measure` times it. A plan is recorded in the run,
and every worker is told to `use` it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib import import_module
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np

from fedlearn.autograd.recurrent.layout import aligned
from fedlearn.errors import BadInput
from fedlearn.extras import numba_works

CHOICES = ("numpy", "numba", "measure")
QUICK = 1_000_000  # multiplications in a product, the most that OpenBLAS does without packing (its PR 3335)
BLOCKS = (64, 32)  # columns
SMALL = 1024  # units times sequences up to which a compiled loop beats calling NumPy at every step


@dataclass(frozen=True)
class KernelPlan:
    """How recurrent layers, and recorded steps, are computed.

    cut: compute large recurrent products in blocks. compiled: run LSTM steps with numba; for the smallest layers, the
    whole sequence in one call. Chains of elementwise calls in recorded steps of any model are compiled then, too.
    """

    cut: bool = True
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.compiled and not numba_works():
            raise BadInput(
                "the kernel plan asks for compiled kernels and numba is not installed here, or not for this NumPy: "
                "pip install fedlearn[fast], or choose the kernels numpy"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a run's record and for its workers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plan: Mapping[str, Any]) -> KernelPlan:
        if set(plan) != {"cut", "compiled"} or not all(isinstance(value, bool) for value in plan.values()):
            raise BadInput(f"not a kernel plan: {dict(plan)!r}; give what KernelPlan.to_dict() returned")
        return cls(**plan)

    @classmethod
    def choose(cls, choice: str, weights: Iterable[tuple[int, ...]], batch: int) -> KernelPlan:
        """By "numpy" (the default plan), "numba" (the same, compiled), or "measure" (the quickest, here and now).

        weights, batch: shapes (G H, H) of the recurrent weights and how many sequences, which "measure" times.
        """
        if choice not in CHOICES:
            raise BadInput(f"kernels are {choice!r}: choose one of {', '.join(CHOICES)}")
        largest = max(weights, default=None)
        if choice == "measure" and largest:
            return cls.measure(batch, largest[1], largest[0] // largest[1])
        return cls(compiled=choice == "numba")

    @classmethod
    def measure(cls, batch: int, hidden: int, gates: int = 4) -> KernelPlan:
        """The fastest plan, here and now, for `batch` sequences and `hidden` units of `gates` gates (LSTM 4, GRU 3)."""
        return cls(_cutting_pays(batch, hidden, gates), compiled=numba_works())


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


@cache
def kernels(name: str) -> ModuleType:
    """A module of kernels, imported when first needed: some need numba."""
    return import_module(f"fedlearn.autograd.recurrent.{name}")


def whole_sequences(weight: np.ndarray, batch: int) -> bool:
    """Whether an LSTM with this weight (4H, H) is so small that its whole loop is compiled."""
    hidden = weight.shape[1]
    small = hidden * batch <= SMALL and hidden <= 64
    return _current.compiled and small and weight.dtype == np.float32


class Product:
    """Products with matrices (G, K, N) of a `batch` of B rows, which are (B, K), the same for all, or (G, B, K).

    cut: as in the plan (None: the current one).
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, batch: int, cut: bool | None = None):
        gates, inner, width = shape
        block = _block(batch, inner, width) if (_current.cut if cut is None else cut) else width
        self._blocks = aligned((gates, width // block, inner, block), dtype)
        self._whole = block == width
        self.bytes = self._blocks.nbytes

    def load(self, matrices: np.ndarray) -> None:
        """Multiply by these from now on."""
        gates, _, inner, block = self._blocks.shape
        self._blocks[...] = matrices.reshape(gates, inner, -1, block).swapaxes(1, 2)

    def bound(self, a: np.ndarray, out: np.ndarray) -> Callable[[], Any]:
        """A call that writes a @ matrices into out (G, B, N)."""
        if self._whole:
            return partial(np.matmul, a, self._blocks[:, 0], out)
        gates, cuts, _, block = self._blocks.shape
        columns = out.reshape(gates, -1, cuts, block).swapaxes(1, 2)
        return partial(np.matmul, a if a.ndim == 2 else a[:, None], self._blocks, columns)


def times(matrices: np.ndarray, batch: int, cut: bool | None = None) -> Callable[[np.ndarray, np.ndarray], None]:
    """A function (a, out) that writes a @ matrices (G, K, N) into out (G, B, N); else as `Product`."""
    product = Product(matrices.shape, matrices.dtype, batch, cut)
    product.load(matrices)
    return lambda a, out: product.bound(a, out)()


def _block(batch: int, inner: int, width: int) -> int:
    """Columns in a block: all of them where that takes the quick path or no cut does."""
    quick = [block for block in (width, *BLOCKS) if width % block == 0 and batch * inner * block <= QUICK]
    return quick[0] if quick else width


def _cutting_pays(batch: int, hidden: int, gates: int) -> bool:
    """Whether products of (batch, hidden) by (gates, hidden, hidden) are quicker cut, by more than chance."""
    if _block(batch, hidden, hidden) == hidden:
        return False
    rng = np.random.default_rng(0)
    a, matrices = rng.standard_normal((batch, hidden), np.float32), np.ones((gates, hidden, hidden), np.float32)
    out = np.empty((gates, batch, hidden), np.float32)
    least = {False: float("inf"), True: float("inf")}
    for _ in range(12):
        for cut in least:
            multiply = times(matrices, batch, cut)
            begin = perf_counter()
            for _ in range(4):
                multiply(a, out)
            least[cut] = min(least[cut], perf_counter() - begin)
    return least[True] < 0.95 * least[False]
