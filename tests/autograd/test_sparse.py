"""Sums of rows by number, beside SciPy's public sparse matrices, and one sum at a time."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from fedlearn import Tensor
from fedlearn.autograd.sparse import add_to_rows, sum_rows
from fedlearn.nn import functional as F

KINDS = st.sampled_from([np.int32, np.int64])


def bags(sizes: list[int], rows: int, kind: type, seed: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(seed).integers(rows, size=sum(sizes)).astype(kind)
    return numbers, np.cumsum([0, *sizes]).astype(kind)


def values(rng: np.random.Generator, shape: tuple[int, int], dtype: type) -> np.ndarray:
    return (rng.standard_normal(shape) * 1000).astype(dtype)


@given(
    st.lists(st.integers(0, 9), max_size=6),
    st.integers(1, 12),
    st.integers(1, 20),
    KINDS,
    st.sampled_from([np.float32, np.float64, np.int64]),
    st.integers(0, 99),
)
def test_both_are_products_with_a_sparse_matrix(sizes, rows, width, kind, dtype, seed):
    rng = np.random.default_rng(seed)
    numbers, bounds = bags(sizes, rows, kind, seed)
    table, given = values(rng, (rows, width), dtype), values(rng, (len(sizes), width), dtype)
    found, added = sum_rows(table, numbers, bounds), table.copy()
    add_to_rows(added, numbers, bounds, given)
    matrix = csr_array((np.ones(len(numbers), dtype), numbers, bounds), shape=(len(sizes), rows))
    np.testing.assert_allclose(found, matrix @ table, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(added, table + matrix.T @ given, rtol=1e-5, atol=1e-2)
    for b in range(len(sizes)):
        expected = np.zeros(width, dtype)
        for number in numbers[bounds[b] : bounds[b + 1]]:
            expected += table[number]
        assert np.array_equal(found[b], expected)
    one_by_one = table.copy()
    for b in range(len(sizes)):
        for number in numbers[bounds[b] : bounds[b + 1]]:
            one_by_one[number] += given[b]
    assert np.array_equal(added, one_by_one)


@pytest.mark.parametrize("number", [-1, 3])
def test_a_row_that_is_not_there_is_refused_and_nothing_is_written(number):
    numbers, bounds, table = np.array([0, number]), np.array([0, 2]), np.ones((3, 2), np.float32)
    with pytest.raises(IndexError, match="table of 3 rows"):
        sum_rows(table, numbers, bounds)
    with pytest.raises(IndexError, match="table of 3 rows"):
        add_to_rows(table, numbers, bounds, np.ones((1, 2), np.float32))
    assert (table == 1).all()


def test_a_table_that_would_be_copied_or_converted_is_refused():
    numbers, bounds = np.array([0]), np.array([0, 1])
    with pytest.raises(ValueError, match="contiguous"):
        add_to_rows(np.ones((2, 3), np.float32).T, numbers, bounds, np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match="contiguous table of float64"):
        add_to_rows(np.ones((3, 2), np.float32), numbers, bounds, np.ones((1, 2)))


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bags_of_half_precision_are_added_up_in_single(mode):
    table, words, offsets = np.linspace(-3, 3, 18).reshape(6, 3), np.array([0, 5, 2, 2, 1]), np.array([0, 2, 2])
    half, single = (Tensor(table.astype(kind), requires_grad=True) for kind in (np.float16, np.float32))
    for weight in (half, single):
        bags = F.embedding_bag(words, weight, offsets, mode=mode)
        assert bags.dtype == weight.dtype
        (bags * bags).sum().backward()
    assert half.grad.dtype == np.float16
    np.testing.assert_allclose(half.grad.numpy(), single.grad.numpy(), rtol=1e-2)


def test_what_many_large_batches_had_in_common_is_not_kept():
    weight = Tensor(np.zeros((4, 2), np.float32))
    tracemalloc.start()
    try:
        for count in range(70_000, 70_064):
            F.cross_entropy(np.zeros((count, 1), np.float32), np.zeros(count, np.int64))
        F.embedding_bag(np.zeros(2**20 + 1, np.int64), weight, np.array([0]))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4 << 20  # the losses' arrays have 36 MB together, the bag's ones have 8
