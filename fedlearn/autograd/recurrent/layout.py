"""How a recurrent layer's numbers lie in memory, and the way in and out.

What comes in lies as PyTorch's parameters do: all gates side by side on the last axis (N = G H). Projections are
x_t W^T + b of all steps (T, B, N). Where the input is an embedding, a table (V, N) of the projected vocabulary does
as well: step t reads the rows `indices[t]` (exact, and less work where V is below B T). On the way back each gate's
gradients are a block of their own (T, B, H), so that a step writes long stretches of memory; small layers, computed
row by row, have one block of them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd.ops import take
from fedlearn.autograd.places import checked_indices
from fedlearn.autograd.sparse import add_to_rows
from fedlearn.errors import ShapeError

LINE = 64  # bytes in a line of the cache


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An empty array that begins with a line of the cache, as NumPy's own seldom do.

    Products with a small matrix that straddles lines take up to 1.4 times as long, elementwise work 1.1 times.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -room.__array_interface__["data"][0] % LINE  # quicker than `room.ctypes`
    array: np.ndarray = room[start : start + size].view(dtype).reshape(shape)
    return array


def row_numbers(indices: Any, projected: np.ndarray) -> np.ndarray:
    """The rows of a table (V, N) that each step reads, whole numbers (T, B) from 0 to V - 1."""
    rows = checked_indices(indices, len(projected), "row of the table")
    if rows.ndim != 2 or projected.ndim != 2:
        raise ShapeError(f"indices (T, B) name rows of a table (V, N): these are {rows.shape} and {projected.shape}")
    return rows


class Projections:
    """The projections of one step after another: those of step t are the rows `rows[t]` (B,) of `table` (V, N)."""

    def __init__(self, projected: np.ndarray, indices: np.ndarray | None):
        self.length, self.batch = (projected if indices is None else indices).shape[:2]
        self.table = projected.reshape(-1, projected.shape[-1])
        self.rows = np.arange(len(self.table)).reshape(self.length, -1) if indices is None else indices
        self._steps = projected if indices is None else None

    def __iter__(self) -> Iterator[np.ndarray]:
        """Each step (B, N), good until the next."""
        if self._steps is not None:
            return iter(self._steps)
        room = aligned((self.batch, self.table.shape[-1]), self.table.dtype)
        return (self.table.take(rows, axis=0, out=room, mode="clip") for rows in self.rows)

    def by_gate(self, order: Sequence[int], factors: np.ndarray) -> Iterator[np.ndarray]:
        """Each step as one (B, H) for each gate, in this order and times its factor (G, 1, 1); good until the next."""
        gates = len(order)
        room = aligned((gates, self.batch, self.table.shape[-1] // gates), self.table.dtype)
        if self._steps is None:
            tables = by_gate(self.table, gates)[order] * factors
            yield from (tables.take(rows, axis=1, out=room, mode="clip") for rows in self.rows)
            return
        for step in self._steps:
            planes = by_gate(step, gates)
            for place, gate in enumerate(order):
                np.multiply(planes[gate], factors[place], out=room[place])
            yield room


def projections_gradient(
    dgates: np.ndarray, projected: np.ndarray, indices: np.ndarray | None, order: Sequence[int]
) -> Any:
    """The gradient of `projected`, from that of the gates of all steps in blocks (G, T, B, N / G), ordered so."""
    if indices is None:
        return side_by_side(dgates, order).reshape(projected.shape)
    width = dgates.shape[-1]
    tables = np.zeros((len(dgates), len(projected), width), dgates.dtype)
    numbers = row_numbers(indices, projected).ravel()
    for table, block in zip(tables, dgates, strict=True):
        add_to_rows(table, numbers, np.arange(numbers.size + 1), block.reshape(-1, width))
    return side_by_side(tables, order)


def side_by_side(blocks: np.ndarray, order: Sequence[int]) -> Any:
    """Blocks (G, ..., W) as rows (..., G W), the first at place `order[0]`."""
    if len(blocks) == 1:
        return blocks[0]
    rows = np.empty((*blocks.shape[1:-1], len(blocks), blocks.shape[-1]), blocks.dtype)
    for place, block in zip(order, blocks, strict=True):
        rows[..., place, :] = block
    return rows.reshape(*blocks.shape[1:-1], -1)


def matrices(weight: np.ndarray) -> np.ndarray:
    """The recurrent weight (G H, H) as one matrix for each gate (G, H, H)."""
    hidden = weight.shape[1]
    return weight.reshape(-1, hidden, hidden)


def by_gate(rows: np.ndarray, gates: int) -> np.ndarray:
    """Rows (..., B, G H) as one (B, H) for each gate: a view (..., G, B, H)."""
    return rows.reshape(*rows.shape[:-1], gates, -1).swapaxes(-3, -2)


def weight_gradient(dgates: np.ndarray, states: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The gradient of the recurrent weight (N, H), from such blocks (G, T, B, N / G) and states before (T, B, H)."""
    gates, _, _, width = dgates.shape
    before = states.reshape(-1, states.shape[-1])
    weight = np.empty((gates, width, before.shape[1]), dgates.dtype)
    for place, block in zip(order, dgates, strict=True):
        np.matmul(block.reshape(-1, width).T, before, out=weight[place])
    return weight.reshape(gates * width, -1)


def unrolled(projected: Any, indices: np.ndarray | None) -> list[Any]:
    """The projections of all steps, each (B, N), as ops see them."""
    whole = projected if indices is None else take(projected, indices=indices)
    return [whole[t] for t in range(len(whole))]
