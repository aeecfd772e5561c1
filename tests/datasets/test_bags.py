from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from fedlearn.datasets import Corpus
from fedlearn.datasets.bags import Bags, encode
from fedlearn.datasets.examples import Arrays
from fedlearn.datasets.vocabulary import ExplicitVocabulary, HashedVocabulary
from fedlearn.errors import ShapeError

ROWS = st.lists(st.sets(st.integers(0, 9)), max_size=12)


def bags(rows) -> Bags:
    offsets = np.cumsum([0, *map(len, rows)])
    indices = np.array([i for row in rows for i in sorted(row)], dtype=np.int32)
    return Bags(indices, offsets, np.arange(len(rows), dtype=np.float32))


def dense(examples: Bags) -> np.ndarray:
    """Row by row through SciPy's own reading of the same arrays."""
    ones = np.ones(len(examples.indices))
    return csr_array((ones, examples.indices, examples.offsets), shape=(len(examples), 10)).toarray()


@given(ROWS, st.data())
def test_take_by_index_repeats_and_reorders_rows(rows, data):
    order = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1)) if rows else st.just([])), dtype=np.int64)
    whole, taken = bags(rows), bags(rows).take(order)
    assert np.array_equal(dense(taken), dense(whole)[order])
    assert np.array_equal(taken.targets, whole.targets[order])
    assert (taken.indices.dtype, taken.offsets.dtype, taken.targets.dtype) == (np.int32, np.int64, np.float32)


@given(ROWS, st.slices(12))
def test_take_by_slice_is_what_numpy_does_to_the_dense_rows(rows, part):
    whole, taken = bags(rows), bags(rows).take(part)
    assert np.array_equal(dense(taken), dense(whole)[part])
    assert np.array_equal(taken.targets, whole.targets[part])


def test_a_slice_is_a_view():
    whole = bags([{1, 2}, set(), {3}])
    taken = whole.take(slice(1, 3))
    assert np.shares_memory(taken.indices, whole.indices)
    assert np.shares_memory(taken.targets, whole.targets)


def test_inputs_follow_the_convention_of_embedding_bag():
    indices, offsets = bags([{1, 2}, set(), {3}]).inputs
    assert (indices.tolist(), offsets.tolist()) == ([1, 2, 3], [0, 2, 2])
    assert (indices.dtype, offsets.dtype) == (np.int32, np.int64)


def test_encode_gives_each_message_its_set_of_words():
    texts = ("Pizza, pizza!", "nothing known", "my password is PIZZA")
    corpus = Corpus("test", texts, np.array([0, 1, 1], dtype=np.int8), None, False, "", "")
    encoded = encode(corpus, ExplicitVocabulary(["is", "password", "pizza", "!"]))
    assert encoded.indices.tolist() == [2, 3, 0, 1, 2]
    assert encoded.offsets.tolist() == [0, 2, 2, 5]
    assert encoded.targets.tolist() == [0.0, 1.0, 1.0]


def test_encode_of_nothing():
    corpus = Corpus("test", (), np.zeros(0, dtype=np.int8), None, False, "", "")
    encoded = encode(corpus, HashedVocabulary())
    assert (len(encoded), encoded.offsets.tolist(), encoded.indices.dtype) == (0, [0], np.int32)


def test_examples_travel_between_processes():
    for examples in (bags([{1, 2}, {3}]), Arrays(np.eye(3), np.arange(3))):
        twin = pickle.loads(pickle.dumps(examples))
        assert all(np.array_equal(a, b) for a, b in zip(twin.inputs, examples.inputs, strict=True))
        assert np.array_equal(twin.targets, examples.targets)


def test_arrays_take_rows_and_slices_are_views():
    features, targets = np.arange(12.0).reshape(4, 3), np.arange(4)
    examples = Arrays(features, targets)
    assert np.array_equal(examples.take(np.array([3, 0])).inputs[0], features[[3, 0]])
    assert np.shares_memory(examples.take(slice(1, 3)).features, features)
    assert len(examples.take(slice(1, 3))) == 2


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="3 examples but 2 targets"):
        Arrays(np.zeros((3, 2)), np.zeros(2))
    for offsets in ([0, 2], [-1, 3], [0, 2, 3]):
        with pytest.raises(ShapeError, match="do not fit"):
            Bags(np.zeros(3, dtype=np.int32), np.array(offsets), np.zeros(1, dtype=np.float32))
