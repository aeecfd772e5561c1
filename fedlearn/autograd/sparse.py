"""Sums of rows by number: what bags of words are made of, and what NumPy has no quick call for.

Both are products with a sparse matrix of ones. They run SciPy's compiled loops without the objects around them, whose
checks take several times as long as the sums of one batch. These loops are not in SciPy's manual, though of old; tests
hold them against its public classes. Each sum is taken in the order of the numbers, one after another, so that no bit
of it depends on what else is summed in the same call.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

import numpy as np

from fedlearn.autograd.arrays import remembered
from fedlearn.wording import many

UNSIGNED: dict[np.dtype, Any] = {np.dtype(np.int32): np.dtype(np.uint32), np.dtype(np.int64): np.dtype(np.uint64)}


def sum_rows(table: np.ndarray, numbers: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """(B, D) of table (V, D): row b is the sum of `table[numbers[bounds[b]:bounds[b + 1]]]`; 0 where there are none.

    numbers (n,) and bounds (B + 1,), both int32 or both int64. Raises `IndexError` for a number out of range.
    """
    _check(numbers, len(table))
    out = np.zeros((len(bounds) - 1, table.shape[1]), table.dtype)
    add_sums(table, numbers, bounds, out)
    return out


def single(table: np.ndarray) -> np.ndarray:
    """The table, in single precision where it is in half: SciPy's loops know no less."""
    return table.astype(np.float32) if table.dtype == np.float16 else table


def add_to_rows(table: np.ndarray, numbers: np.ndarray, bounds: np.ndarray, values: np.ndarray) -> None:
    """Add `values[b]`, of (B, D), to each row of a contiguous table (V, D) that bag b names; else as `sum_rows`."""
    _check(numbers, len(table))
    if not table.flags.c_contiguous or table.dtype != values.dtype:
        raise ValueError(f"a contiguous table of {values.dtype} is needed, not {table.dtype}, strides {table.strides}")
    add_to_known_rows(table, numbers, bounds, values)


def add_sums(table: np.ndarray, numbers: np.ndarray, bounds: np.ndarray, out: np.ndarray) -> None:
    """Add to `out` what `sum_rows` gives. Nothing is checked: for arrays that were, all of them contiguous."""
    (rows, width), entries = table.shape, _ones(len(numbers), table.dtype)
    if width == 1:
        _loops().csr_matvec(len(out), rows, bounds, numbers, entries, table.ravel(), out.ravel())
    else:
        _loops().csr_matvecs(len(out), rows, width, bounds, numbers, entries, table.ravel(), out.ravel())


def add_to_known_rows(table: np.ndarray, numbers: np.ndarray, bounds: np.ndarray, values: np.ndarray) -> None:
    """Same as `add_to_rows`, and nothing is checked: for arrays that were, all of them contiguous."""
    (rows, width), entries = table.shape, _ones(len(numbers), table.dtype)
    if width == 1:
        _loops().csc_matvec(rows, len(values), bounds, numbers, entries, values.ravel(), table.ravel())
    else:
        _loops().csc_matvecs(rows, len(values), width, bounds, numbers, entries, values.ravel(), table.ravel())


def singles(count: int) -> np.ndarray:
    """The bounds of `count` bags of one row each: int64 (count + 1,)."""
    return _places((count + 1).bit_length())[: count + 1]


def _check(numbers: np.ndarray, count: int) -> None:
    """The compiled loops read and write where they are told."""
    unsigned = numbers.view(UNSIGNED[numbers.dtype])  # negative ones are large then
    if numbers.size and not np.maximum.reduce(unsigned) < count:
        raise IndexError(f"row numbers from {numbers.min()} to {numbers.max()} in a table of {many(count, 'row')}")


@cache
def _loops() -> Any:
    """SciPy's module of loops alone: all of scipy.sparse would take each process nine times as long to import."""
    import scipy

    name = "scipy.sparse._sparsetools"
    spec = PathFinder.find_spec(name, [f"{path}/sparse" for path in scipy.__path__])
    if spec is None or spec.loader is None:
        return import_module(name)
    loops = module_from_spec(spec)
    spec.loader.exec_module(loops)
    return loops


def _ones(count: int, dtype: np.dtype) -> np.ndarray:
    """The matrix's entries: a stretch of an array that is made once."""
    return _power_of_two_ones((count - 1).bit_length() if count else 0, dtype)[:count]


@remembered
def _power_of_two_ones(exponent: int, dtype: np.dtype) -> np.ndarray:
    return np.ones(1 << exponent, dtype)


@remembered
def _places(bits: int) -> np.ndarray:
    return np.arange(1 << bits)
