"""Data sets that are put together by hand: what cannot be meant is refused where it is put together."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn.datasets.bags import Bags
from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.files.writing import write
from fedlearn.errors import BadInput


def corpus(labels, classes=("ham", "spam")):
    return Corpus("by hand", tuple("abc"), labels, None, False, "", "", classes)


@pytest.mark.parametrize("labels", [[0, 1, 5], [0, -1, 1], [0, 1, 300]])
def test_a_label_is_the_number_of_a_class(labels):
    with pytest.raises(BadInput, match="for the classes ham, spam"):
        corpus(np.array(labels))
    assert len(corpus(np.array([0, 1, 2]), ("a", "b", "c"))) == 3
    with pytest.raises(BadInput, match=r"for the classes 0, 1: give each class a name"):
        rows(labels=np.array(labels))


def rows(**given):
    return Samples(**{"name": "by hand", "features": np.eye(3), "labels": np.array([0, 1, 1]), **FIELDS, **given})


FIELDS = {"classes": 2, "synthetic": True, "sha256": "", "source": ""}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"labels": np.array([0, 0.5, np.nan])}, "give a whole number for each of its rows"),
        ({"labels": np.eye(3, dtype=int)}, r"labels of shape \(3, 3\)"),
        ({"features": np.ones(3)}, r"features of shape \(3,\) and type float64: give rows \(n, d\)"),
        ({"users": ("a",)}, "3 rows but 1 user:"),
        ({"users": "abc"}, "where a list of users is meant"),
        ({"named": ("a",)}, "1 name for 2 classes"),
    ],
)
def test_rows_have_a_class_and_a_user_each(more, says):
    with pytest.raises(BadInput, match=says):
        rows(**more)


@pytest.mark.parametrize(
    ("indices", "offsets", "says"),
    [
        (np.arange(3), [0, 5, 3], "fall"),
        (np.array([0.5, 1, 2]), [0, 1, 3], "indices of bags are float64"),
        (np.arange(3), [0.0, 1.0, 3.0], "offsets of bags are float64"),
        (np.arange(3), [0, 1, 2], "end at the number of indices"),
        (np.arange(3) - 1, [0, 1, 3], "indices of bags begin at -1"),
        (np.array(["a", "b", "c"]), [0, 1, 3], "indices are of type <U1"),
    ],
)
def test_bags_begin_one_after_another(indices, offsets, says):
    with pytest.raises(BadInput, match=says):
        Bags(indices, np.array(offsets), np.ones(2, np.float32))
    with pytest.raises(BadInput, match="labels are of type object"):
        Bags(np.arange(3), np.array([0, 1, 3]), np.array([None, "ham"]))


def test_data_of_a_class_of_ones_own_are_written(tmp_path):
    class Mine(Corpus):
        pass

    mine = Mine("by hand", ("a", "b"), [0, 1], None, False, "", "")
    assert write(mine, tmp_path / "mine.tsv") == "2 messages"


def test_labels_of_bags_are_of_one_precision_whoever_stands_beside():
    assert Bags(np.arange(3), np.array([0, 1, 3]), np.array([0, 1])).labels.dtype == np.float32


def test_some_of_the_bags_are_bags():
    bags = Bags(np.arange(4, dtype=np.int32), np.array([0, 1, 1, 4]), np.arange(3, dtype=np.float32))
    for part in (bags.take([2, 0]), bags.take(np.array([2, 0])), bags.take(slice(2, None, -2))):
        assert (part.indices.tolist(), part.offsets.tolist(), part.labels.tolist()) == ([1, 2, 3, 0], [0, 3, 4], [2, 0])
    assert bags.take(slice(1, 3)).offsets.tolist() == [0, 0, 3]
