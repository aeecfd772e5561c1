"""n vectors of d values side by side, and what rules ask of them: distances, norms, weighted sums.

All distances come from one Gram matrix of the vectors minus their mean, and every rule that gives a weighted sum of
the vectors needs no more than that matrix to find the weights. Work goes block by block of columns that fit a
processor's cache, sums are float64, and BLAS has one thread: the bits do not depend on the machine's cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from fedlearn.checked import REAL, as_array
from fedlearn.errors import BadInput, ShapeError

BLOCK = 1 << 16  # values at a time: half a MiB of float64
APART = 16  # values between rows of a block, so that rows do not lie on the same lines of the cache
ROWS = 16  # vectors that are added up in float32, before their sum is added in float64


class Points:
    """n vectors of d values, n and d at least 1.

    Their first use raises `ShapeError` for NaN and infinity. `vectors` checks all at once; `near_blocks` and
    `sorted_blocks` check each block while it is in the cache.
    """

    def __init__(self, vectors: np.ndarray):
        self._given = vectors

    @classmethod
    def checked(cls, vectors: np.ndarray) -> Points:
        """Of what a caller gives; raises `ShapeError` for no matrix with a value in it, `BadInput` for no numbers."""
        found = as_array("vectors", vectors)
        if found.dtype.kind not in REAL:
            raise BadInput(f"vectors are of type {found.dtype}, numbers are needed")
        with np.errstate(over="ignore"):  # to infinity, which is refused
            matrix = np.ascontiguousarray(found, np.float32)
        if matrix.ndim != 2 or not matrix.size:
            raise ShapeError(f"vectors of shape {np.shape(vectors)}: give a matrix (n, d), a vector a row")
        return cls(matrix)

    @cached_property
    def vectors(self) -> np.ndarray:
        """float32 (n, d), finite."""
        _check_finite(self._given)
        return self._given

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        n, d = self._given.shape
        return n, d

    def __len__(self) -> int:
        return len(self._given)

    @property
    def _width(self) -> int:
        return max(1, BLOCK // len(self))

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Columns, and the vectors' values there, float32 (n, width)."""
        for columns in self._columns():
            yield columns, self.vectors[:, columns]

    def _columns(self) -> Iterator[slice]:
        for begin in range(0, self.shape[1], self._width):
            yield slice(begin, begin + self._width)

    def near_blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Columns, and a copy of their values in the cache, finite: float32 (n, width or more).

        What lies beyond the columns means nothing. The copy's memory is used again for the next columns.
        """
        near = np.zeros((len(self), self._width + APART), np.float32)
        for columns in self._columns():
            # Vectors lie far apart, each in other pages: read once as they lie.
            values = self._given[:, columns]
            near[:, : values.shape[1]] = values
            _check_finite(near)
            yield columns, near

    def sorted_blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Columns, and each of their values in rising order, float32 (width, n): a coordinate a row.

        The rows' memory is used again for the next columns.
        """
        memory = np.empty((self._width, len(self)), np.float32)
        for columns, near in self.near_blocks():
            rows = memory[: min(self._width, self.shape[1] - columns.start)]
            rows[:] = near[:, : len(rows)].T
            rows.sort(axis=1)
            yield columns, rows

    @cached_property
    def norms(self) -> np.ndarray:
        """Euclidean norm of each vector, float64 (n,)."""
        return self.distances_from(None)

    def distances_from(self, point: np.ndarray | None) -> np.ndarray:
        """Euclidean distance of each vector from a point (d,), or from zero: float64 (n,)."""
        squares = np.zeros(len(self))
        for columns, values in self.blocks():
            apart = values if point is None else values - point[columns]
            squares += np.einsum("nd,nd->n", apart, apart)
        distances: np.ndarray = np.sqrt(squares)
        return distances

    @cached_property
    def gram(self) -> np.ndarray:
        """Inner products of the vectors minus their mean, float64 (n, n)."""
        products = np.zeros((len(self), len(self)))
        for _, values in self.blocks():
            centred = values.astype(np.float64)
            centred -= centred.mean(axis=0)
            products += centred @ centred.T
        return products

    @cached_property
    def squared_distances(self) -> np.ndarray:
        """Between every two vectors, float64 (n, n), 0 on the diagonal."""
        squares = np.diagonal(self.gram)
        apart: np.ndarray = squares[:, None] + squares[None, :] - 2 * self.gram
        np.maximum(apart, 0, out=apart)
        return apart

    def weighted(self, weights: np.ndarray) -> np.ndarray:
        """The sum of the vectors times their weights (n,): float32 (d,)."""
        total, factors = np.zeros(self.vectors.shape[1]), weights.astype(np.float32)
        for begin in range(0, len(self), ROWS):
            total += factors[begin : begin + ROWS] @ self.vectors[begin : begin + ROWS]
        return total.astype(np.float32)

    def mixed(self, weights: np.ndarray) -> Points:
        """As many such sums as there are rows of weights (m, n)."""
        sums = np.empty((len(weights), self.vectors.shape[1]), np.float32)
        for columns, values in self.blocks():
            sums[:, columns] = weights @ values.astype(np.float64)
        return Points(sums)

    def mean(self, chosen: np.ndarray) -> np.ndarray:
        """Of the vectors with these numbers (k,): float32 (d,)."""
        weights = np.zeros(len(self))
        weights[chosen] = 1 / len(chosen)
        return self.weighted(weights)


def _check_finite(vectors: np.ndarray) -> None:
    """Raise `ShapeError` where vectors (n, d), one after the other in memory, hold NaN or infinity."""
    flat = vectors.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.dot(flat, flat)):  # quicker than to look at each; squares of large numbers overflow too
            return
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if wrong.size:
        raise ShapeError(f"vector {wrong[0]} holds NaN or infinity: a rule compares finite numbers")
