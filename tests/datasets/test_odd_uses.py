"""Data sets that are put together by hand: what cannot be meant is refused where it is put together."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn.datasets.bags import Bags
from fedlearn.datasets.corpus import Corpus
from fedlearn.errors import BadInput


def corpus(labels, classes=("ham", "spam")):
    return Corpus("by hand", tuple("abc"), labels, None, False, "", "", classes)


@pytest.mark.parametrize("labels", [[0, 1, 5], [0, -1, 1], [0, 1, 300]])
def test_a_label_is_the_number_of_a_class(labels):
    with pytest.raises(BadInput, match="for the classes ham, spam"):
        corpus(np.array(labels))
    assert len(corpus(np.array([0, 1, 2]), ("a", "b", "c"))) == 3


@pytest.mark.parametrize(
    ("indices", "offsets", "says"),
    [
        (np.arange(3), [0, 5, 3], "fall"),
        (np.array([0.5, 1, 2]), [0, 1, 3], "indices of bags are float64"),
        (np.arange(3), [0.0, 1.0, 3.0], "offsets of bags are float64"),
        (np.arange(3), [0, 1, 2], "end at the number of indices"),
    ],
)
def test_bags_begin_one_after_another(indices, offsets, says):
    with pytest.raises(BadInput, match=says):
        Bags(indices, np.array(offsets), np.ones(2, np.float32))


def test_some_of_the_bags_are_bags():
    bags = Bags(np.arange(4, dtype=np.int32), np.array([0, 1, 1, 4]), np.arange(3, dtype=np.float32))
    for part in (bags.take([2, 0]), bags.take(np.array([2, 0])), bags.take(slice(2, None, -2))):
        assert (part.indices.tolist(), part.offsets.tolist(), part.labels.tolist()) == ([1, 2, 3, 0], [0, 3, 4], [2, 0])
    assert bags.take(slice(1, 3)).offsets.tolist() == [0, 0, 3]
