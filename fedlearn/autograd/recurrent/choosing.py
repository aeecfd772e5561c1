"""Which kernel plan a run has: by name, or the quickest here and now."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter

import numpy as np

from fedlearn.autograd.kernel_plan import KernelPlan
from fedlearn.autograd.recurrent.products import block_of, times
from fedlearn.configured import whole_number
from fedlearn.errors import BadInput
from fedlearn.extras import numba_works

CHOICES = ("numpy", "numba", "measure")


def choose(choice: str, weights: Iterable[tuple[int, ...]], batch: int) -> KernelPlan:
    """By "numpy" (the default plan), "numba" (the same, compiled), or "measure" (the quickest, here and now).

    weights, batch: shapes (G H, H) of the recurrent weights and how many sequences, which "measure" times.
    """
    if choice not in CHOICES:
        raise BadInput(f"kernels are {choice!r}: choose one of {', '.join(CHOICES)}")
    largest = max(weights, default=None)
    if choice == "measure" and largest:
        return measure(batch, largest[1], largest[0] // largest[1])
    return KernelPlan(compiled=choice == "numba")


def measure(batch: int, hidden: int, gates: int = 4) -> KernelPlan:
    """The fastest plan, here and now, for `batch` sequences and `hidden` units of `gates` gates (LSTM 4, GRU 3)."""
    for name, size in (("sequences", batch), ("units", hidden), ("gates", gates)):
        whole_number(name, size, least=1)
    return KernelPlan(_cutting_pays(batch, hidden, gates), numba_works())


def _cutting_pays(batch: int, hidden: int, gates: int) -> bool:
    """True if products of (batch, hidden) by (gates, hidden, hidden) are quicker cut, by more than chance."""
    if block_of(batch, hidden, hidden) == hidden:
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
