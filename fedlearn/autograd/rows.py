"""A gradient that is zero except in a few rows, as an embedding's is: only those rows are carried."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fedlearn.autograd.sparse import add_to_known_rows, singles


class RowSparse:
    """A (V, ...) array of which only `rows` (sorted, distinct, int64) hold `values` (len(rows), ...).

    Adds to another of its kind without becoming dense, and to an array by becoming one.
    """

    __array_ufunc__ = None  # array + RowSparse is ours to answer
    __slots__ = ("rows", "shape", "values")

    def __init__(self, rows: np.ndarray, values: np.ndarray, shape: tuple[int, ...]):
        self.rows = rows
        self.values = values
        self.shape = shape

    @classmethod
    def gather(cls, indices: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> RowSparse:
        """The sum of `values[i]` over all i that name the same row `indices[i]`; any order, repeats allowed."""
        order, rows, starts = group(indices, shape[0])
        return cls(rows, add_groups(values, order, starts), shape)

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def astype(self, dtype: Any) -> RowSparse:
        return RowSparse(self.rows, self.values.astype(dtype), self.shape)

    def dense(self) -> np.ndarray:
        """The whole (V, ...) array."""
        whole = np.zeros(self.shape, self.values.dtype)
        whole[self.rows] = self.values
        return whole

    def add_into(self, table: np.ndarray, factor: float) -> None:
        """table += factor * self, in place and in these rows alone; table (V, ...)."""
        step = factor * self.values
        if table.flags.c_contiguous and table.dtype == step.dtype and table.shape == self.shape:
            width = prod(self.shape[1:])
            bounds = singles(len(self.rows))
            add_to_known_rows(table.reshape(len(table), width), self.rows, bounds, step.reshape(len(step), width))
        else:
            table[self.rows] += step

    def __add__(self, other: RowSparse | np.ndarray) -> RowSparse | np.ndarray:
        if isinstance(other, RowSparse):
            both = np.concatenate([self.rows, other.rows])
            return RowSparse.gather(both, np.concatenate([self.values, other.values]), self.shape)
        total = other.copy()
        total[self.rows] += self.values
        return total

    __radd__ = __add__


def group(indices: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort `indices` (n,), all below `count`: (order, the distinct ones, where each one's run starts).

    Stable, hence reproducible; 16-bit keys where they suffice, since NumPy sorts those by radix.
    """
    keys = indices.astype(np.uint16) if count <= 1 << 16 else indices
    order = np.argsort(keys, kind="stable")
    ranked = indices[order]
    first = np.empty(len(ranked), bool)
    first[:1] = True
    np.not_equal(ranked[1:], ranked[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    return order, ranked[starts], starts


def add_groups(values: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sum the rows of `values`, taken in `order`, over the runs that begin at `starts`."""
    if not len(starts):
        return np.zeros((0, *values.shape[1:]), values.dtype)
    return np.add.reduceat(values[order], starts, axis=0)


def renumbered(indices: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct ones of `indices` (n,), all below `count`, ascending: (U,), and `indices` as places among them."""
    occurs = np.zeros(count, bool)
    occurs[indices] = True
    (rows,) = occurs.nonzero()
    place = np.empty(count, indices.dtype)
    place[rows] = np.arange(len(rows), dtype=indices.dtype)
    return rows, place[indices]
