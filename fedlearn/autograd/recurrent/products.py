"""The product that every time step repeats, a few rows times a wide matrix: the shape that BLAS handles worst.

OpenBLAS has a quick path, without packing, for products of at most `QUICK` multiplications; a matrix cut into blocks of
columns, multiplied as a batch, takes that path. How it is cut follows from the shapes alone, so that a run gives the
same bits whenever and by whomever it is computed. Whether cutting pays depends on the machine, and is timed by
`choosing`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fedlearn.autograd.kernel_plan import current
from fedlearn.autograd.recurrent.layout import aligned

QUICK = 1_000_000  # multiplications in a product, the most that OpenBLAS does without packing (its PR 3335)
BLOCKS = (64, 32)  # columns


class Product:
    """Products with matrices (G, K, N) of a `batch` of B rows, which are (B, K), the same for all, or (G, B, K).

    cut: as in the plan (None: the current one).
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype, batch: int, cut: bool | None = None):
        gates, inner, width = shape
        block = block_of(batch, inner, width) if (current().cut if cut is None else cut) else width
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


def block_of(batch: int, inner: int, width: int) -> int:
    """Columns in a block: all of them where that takes the quick path or no cut does."""
    quick = [block for block in (width, *BLOCKS) if width % block == 0 and batch * inner * block <= QUICK]
    return quick[0] if quick else width
