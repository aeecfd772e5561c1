"""How gates lie in memory while a recurrent layer runs, and the way in and out of that layout.

Parameters and projections have all gates side by side on the last axis (N = G H), as PyTorch's. While running,
gates lie one after another, (G, B, H), so that each is one block: elementwise work on it is twice as fast. `order`
says which gate of the parameters stands first, second, and so on.

Projections are x_t W^T + b of all steps (T, B, N). Where the input is an embedding, a table (V, N) of the projected
vocabulary does as well: step t reads the rows `indices[t]` (exact, and less work where V is below B T).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlearn.autograd.ops import take
from fedlearn.autograd.rows import group


class Projections:
    """Gives out the projections of one step after another, gate by gate, each gate times its `scale`."""

    def __init__(self, projected: np.ndarray, indices: np.ndarray | None, order: Sequence[int], scale: Sequence[float]):
        self.length, self.batch = (projected if indices is None else indices).shape[:2]
        self.indices = indices
        self.steps = list(zip(order, scale, strict=True))
        gates = projected.reshape(*projected.shape[:-1], len(order), -1)
        if indices is None:
            self.source = gates
        else:
            self.source = np.stack([gates[:, k] * gates.dtype.type(s) for k, s in self.steps])

    def fill(self, gates: np.ndarray) -> None:
        """Write all steps (T, G, B, H)."""
        for n, (k, scale) in enumerate(self.steps):
            if self.indices is None:
                np.multiply(self.source[:, :, k], scale, out=gates[:, n])
            else:
                gates[:, n] = self.source[n].take(self.indices, axis=0)

    def into(self, out: np.ndarray, t: int) -> None:
        """Write step t (G, B, H)."""
        if self.indices is not None:
            self.source.take(self.indices[t], axis=1, out=out, mode="clip")
            return
        for (k, scale), gate in zip(self.steps, out, strict=True):
            np.multiply(self.source[t, :, k], scale, out=gate)


def projections_gradient(
    dgates: np.ndarray, projected: np.ndarray, indices: np.ndarray | None, order: Sequence[int]
) -> np.ndarray:
    """The gradient of `projected`, from that of the gates of all steps (G, T, B, H)."""
    gates, length, batch, hidden = dgates.shape
    if indices is None:
        whole = np.empty((length, batch, gates, hidden), dgates.dtype)
        for k, gate in zip(order, dgates, strict=True):
            whole[:, :, k] = gate
        return whole.reshape(projected.shape)
    table = np.zeros((len(projected), gates, hidden), dgates.dtype)
    flat = dgates.reshape(gates, -1, hidden)
    ranked, rows, starts = group(indices.ravel(), len(projected))
    for row, uses in zip(rows, np.split(ranked, starts[1:]), strict=True):
        table[row, order] = flat.take(uses, axis=1).sum(axis=1)
    return table.reshape(projected.shape)


def arranged(weight: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The recurrent weight (G H, H) as one matrix for each gate, in order (G, H, H)."""
    hidden = weight.shape[1]
    return weight.reshape(-1, hidden, hidden)[list(order)]


def weight_gradient(dgates: np.ndarray, states: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The gradient of the recurrent weight (G H, H), from gates (G, T, B, H) and the states before them (T, B, H)."""
    gates, *_, hidden = dgates.shape
    products = dgates.reshape(gates, -1, hidden).swapaxes(1, 2) @ states.reshape(-1, hidden)
    weight = np.empty_like(products)
    weight[list(order)] = products
    return weight.reshape(-1, hidden)


def unrolled(projected: Any, indices: np.ndarray | None) -> list[Any]:
    """The projections of all steps, each (B, N), as ops see them."""
    whole = projected if indices is None else take(projected, indices=indices)
    return [whole[t] for t in range(len(whole))]
