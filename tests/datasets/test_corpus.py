from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.datasets import Corpus, split
from fedlearn.errors import BadInput, DataError, ShapeError


def corpus(texts, labels, users=None) -> Corpus:
    return Corpus("test", tuple(texts), np.array(labels, dtype=np.int8), users, False, "0" * 64, "made here")


def numbered(ham: int, spam: int, users=None) -> Corpus:
    return corpus([f"message {i}" for i in range(ham + spam)], [0] * ham + [1] * spam, users)


def test_take_keeps_texts_labels_and_users_together():
    taken = corpus(["a", "b", "c"], [0, 1, 0], ("x", "y", "z")).take(np.array([2, 1]))
    assert (taken.texts, taken.labels.tolist(), taken.users) == (("c", "b"), [0, 1], ("z", "y"))
    assert taken.labels.dtype == np.int8


def test_the_first_of_equal_texts_is_kept():
    unique = corpus(["a", "b", "a", "A", "b"], [0, 1, 1, 1, 0], ("u", "v", "w", "w", "w")).without_duplicates()
    assert unique.texts == ("a", "b", "A")
    assert unique.labels.tolist() == [0, 1, 1]
    assert unique.users == ("u", "v", "w")


def test_labels_and_users_must_be_as_many_as_texts():
    with pytest.raises(ShapeError, match="2 texts but 1 label:"):
        corpus(["a", "b"], [0])
    with pytest.raises(ShapeError, match="2 texts but 1 user:"):
        corpus(["a", "b"], [0, 1], ("x",))


@given(st.integers(10, 200), st.integers(10, 200), st.floats(0.1, 0.9), st.integers(0, 2**32))
def test_split_is_a_stratified_cut_of_the_distinct_messages(ham, spam, fraction, seed):
    whole = numbered(ham, spam)
    doubled = whole.take([*range(len(whole)), *range(len(whole))])
    train, test = split(doubled, fraction, seed)
    assert sorted(train.texts + test.texts) == sorted(whole.texts)
    one = 1 + 1e-9  # the places of the cut are rounded
    assert abs(len(test) - fraction * len(whole)) <= one
    assert abs(test.labels.sum() - fraction * spam) <= one
    label = dict(zip(whole.texts, whole.labels, strict=True))
    assert [label[text] for text in train.texts] == train.labels.tolist()


def test_split_keeps_each_user_in_both_parts():
    users = tuple(f"user {i % 7}" for i in range(700))
    train, test = split(numbered(350, 350, users), 0.2, seed=3)
    assert test.users is not None
    assert train.users is not None
    assert max(abs(count - 20) for count in Counter(test.users).values()) <= 2
    assert set(train.users) == set(users)


def test_many_users_of_two_messages_still_give_a_whole_test_part():
    users = tuple(f"user {i % 100}" for i in range(200))
    test = split(numbered(150, 50, users), 0.2, seed=0)[1]
    assert np.bincount(test.labels).tolist() == [30, 10]


def test_split_depends_on_its_seed_alone_and_comes_back_shuffled():
    whole = numbered(60, 40)
    first, again, other = (split(whole, seed=seed)[0] for seed in (5, 5, 6))
    assert first.texts == again.texts
    assert first.texts != other.texts
    assert np.count_nonzero(np.diff(first.labels)) > 20
    assert set(first.texts) != set(other.texts)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_a_fraction_outside_the_open_unit_interval_is_refused(fraction):
    with pytest.raises(BadInput, match="test fraction"):
        split(numbered(20, 20), fraction)


def test_a_part_without_one_class_is_refused():
    with pytest.raises(DataError, match=r"3 distinct messages at test fraction 0\.2"):
        split(numbered(2, 1))


def test_truth_values_are_labels():
    corpus = Corpus("mine", ("a", "b"), np.array([False, True]), None, False, "", "")
    assert (corpus.labels.dtype, corpus.labels.tolist()) == (np.int8, [0, 1])
    assert "1 ham, 1 spam" in repr(corpus)
