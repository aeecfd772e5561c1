"""The median by a compiled selection: the same bits as by NumPy's sort."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from aggregator.robust import as_rule, coordinates
from fedlearn.errors import ShapeError

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed: pip install fedlearn[fast]")
MEDIAN = as_rule("median")
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
FEW_VALUES = st.sampled_from(np.array([-0.0, 0.0, 1e-45, -1e-45, 1, 3.4e38, -3.4e38], np.float32).tolist())


def median(vectors: np.ndarray, compiled: bool) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coordinates, "MANY", 0 if compiled else vectors.size + 1)
        return MEDIAN(vectors).vector


@settings(max_examples=60)
@given(array_shapes(min_dims=2, max_dims=2, max_side=16).flatmap(lambda s: arrays(np.float32, s, elements=FINITE)))
def test_any_values(vectors):
    assert median(vectors, True).tobytes() == median(vectors, False).tobytes()


@settings(max_examples=60)
@given(array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(lambda s: arrays(np.float32, s, elements=FEW_VALUES)))
def test_ties_zeros_of_both_signs_and_the_ends_of_the_range(vectors):
    assert median(vectors, True).tobytes() == median(vectors, False).tobytes()


def test_any_number_of_vectors():
    for n in range(1, coordinates.FEW + 2):
        vectors = np.random.default_rng(n).normal(0, 1, (n, 70)).astype(np.float32)
        assert median(vectors, True).tobytes() == median(vectors, False).tobytes(), n


def test_more_columns_than_a_block():
    vectors = np.random.default_rng(0).normal(0, 1, (101, 1500)).astype(np.float32)
    assert median(vectors, True).tobytes() == median(vectors, False).tobytes()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_wherever_it_is(odd):
    vectors = np.zeros((100, 1500), np.float32)
    vectors[7, -1] = odd
    with pytest.raises(ShapeError, match="vector 7 holds NaN or infinity"):
        median(vectors, True)
