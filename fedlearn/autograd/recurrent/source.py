"""Where a recurrent layer's input projections come from: one product for all steps, or a table's rows.

Projections (T, B, N) are all x_t W^T + b. Where the input is an embedding, a table (V, N) of the projected
vocabulary does as well: step t reads the rows `indices[t]` (exact, and less work if V is below B T).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.ops import take


class Projections:
    """Gives out the projections of one step after another, times `scale` (N,)."""

    def __init__(self, projected: np.ndarray, indices: np.ndarray | None, scale: np.ndarray | float = 1.0):
        self.indices = indices
        self.rows = projected if indices is None or isinstance(scale, float) else projected * scale
        self.scale = scale
        steps = projected if indices is None else indices
        self.length, self.batch = steps.shape[:2]

    def into(self, out: np.ndarray, t: int) -> None:
        """Write step t (B, N)."""
        if self.indices is None:
            np.multiply(self.rows[t], self.scale, out=out)
        else:
            self.rows.take(self.indices[t], axis=0, out=out, mode="clip")


def projections_gradient(g: np.ndarray, projected: np.ndarray, indices: np.ndarray | None) -> np.ndarray:
    """The gradient of what was projected, from that of all steps' projections (T, B, N)."""
    if indices is None:
        return g
    one_hot = np.zeros((len(projected), indices.size), g.dtype)
    one_hot[indices.ravel(), np.arange(indices.size)] = 1
    return one_hot @ g.reshape(indices.size, -1)


def unrolled(projected: Any, indices: np.ndarray | None) -> list[Any]:
    """The projections of all steps, each (B, N), as ops see them."""
    whole = projected if indices is None else take(projected, indices=indices)
    return [whole[t] for t in range(len(whole))]
