"""The gradients of an LSTM's gates at every step, how they lie in memory, and the product of each step with them.

What a step gives the h before is the sum of four products, a gate each. Where the four in one take the quick path of
OpenBLAS (see `products`), a row holds all gates side by side; else each gate has a block of its own, so that a step
reads and writes long stretches of memory.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from fedlearn.autograd.recurrent.layout import aligned, matrices, projections_gradient, weight_gradient
from fedlearn.autograd.recurrent.products import QUICK, Product
from fedlearn.autograd.recurrent.rooms import Call


class Joined:
    """Gradients in rows (T, B, 4H).

    by_gate: the same as (4, T, B, H), the gates in `order`, to be written.
    shares: what the last step that was multiplied gives the h before it, in the sum of 1 or 4 parts (B, H).
    """

    def __init__(self, length: int, batch: int, hidden: int, dtype: np.dtype, order: list[int]):
        self._order, self._back = order, np.argsort(order)
        self._rows = aligned((length, batch, 4 * hidden), dtype)
        self.by_gate = self._rows.reshape(length, batch, 4, hidden).transpose(2, 0, 1, 3)
        self._matrix = aligned((4 * hidden, hidden), dtype)
        self.shares = aligned((1, batch, hidden), dtype)

    def load(self, weight: np.ndarray) -> None:
        """Multiply by this recurrent weight (4H, H) from now on."""
        self._matrix[...] = matrices(weight)[self._order].reshape(weight.shape)

    def product(self, t: int) -> Call:
        """Writes to `shares` what those of step t give the h before."""
        return partial(self._rows[t].dot, self._matrix, self.shares[0])

    def of_weight(self, states: np.ndarray) -> np.ndarray:
        """The gradient of the recurrent weight, from the states before each step (T, B, H)."""
        joined = weight_gradient(self._rows[None], states, [0])
        return matrices(joined)[self._back].reshape(joined.shape)

    def of_projections(self, projected: np.ndarray, indices: np.ndarray | None) -> np.ndarray:
        """The gradient of the projections, or of the table that indices (T, B) read, as they came in."""
        found: np.ndarray = projections_gradient(self._rows[None], projected, indices, [0])
        apart = found.reshape(*found.shape[:-1], len(self._back), found.shape[-1] // len(self._back))
        in_order: np.ndarray = apart.take(self._back, axis=-2)
        return in_order.reshape(found.shape)


class Apart:
    """Gradients in blocks (4, T, B, H); else as `Joined`."""

    def __init__(self, length: int, batch: int, hidden: int, dtype: np.dtype, order: list[int]):
        self._order = order
        self.by_gate = aligned((4, length, batch, hidden), dtype)
        self.shares = aligned((4, batch, hidden), dtype)
        self._product = Product((4, hidden, hidden), dtype, batch)

    def load(self, weight: np.ndarray) -> None:
        self._product.load(matrices(weight)[self._order])

    def product(self, t: int) -> Call:
        return self._product.bound(self.by_gate[:, t], self.shares)

    def of_weight(self, states: np.ndarray) -> np.ndarray:
        return weight_gradient(self.by_gate, states, self._order)

    def of_projections(self, projected: np.ndarray, indices: np.ndarray | None) -> np.ndarray:
        found: np.ndarray = projections_gradient(self.by_gate, projected, indices, self._order)
        return found


def gate_gradients(length: int, batch: int, hidden: int, dtype: np.dtype, order: list[int]) -> Joined | Apart:
    """order: that of the gates within a step."""
    kind = Joined if batch * 4 * hidden * hidden <= QUICK else Apart
    return kind(length, batch, hidden, dtype, order)
