"""Metrics beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss

from fedlearn.errors import BadInput
from fedlearn.metrics import binary_metrics, class_metrics

seeds = st.integers(0, 2**31)


@given(st.integers(1, 40), seeds)
def test_of_two_classes(count, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 3, count).astype(np.float32), rng.integers(0, 2, count).astype(np.float32)
    found = binary_metrics(logits, labels)
    assert found["loss"] == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits.astype(float))), labels=[0, 1]))
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, logits > 0))
    assert found["f1"] == pytest.approx(f1_score(labels, logits > 0, zero_division=0))


@given(st.integers(1, 40), st.integers(2, 5), seeds)
def test_of_many_classes(count, classes, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 3, (count, classes)), rng.integers(0, classes, count)
    found = class_metrics(logits, labels)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found["loss"] == pytest.approx(log_loss(labels, shares, labels=range(classes)))
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, logits.argmax(axis=1)))


def test_certain_and_wrong_is_dear_and_finite():
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert binary_metrics(np.array([-1e4]), np.array([1.0])) == {"loss": 1e4, "accuracy": 0.0, "f1": 0.0}
        assert class_metrics(np.array([[5e3, -5e3]]), np.array([1])) == {"loss": 1e4, "accuracy": 0.0}


def test_truth_values_are_labels():
    assert binary_metrics([1.0, 2.0], [True, False]) == binary_metrics([1.0, 2.0], [1, 0])


def test_masked_values_are_not_read_as_if_nothing_hid_them():
    with pytest.raises(BadInput, match="logits have 1 masked value: put a number in their place"):
        binary_metrics(np.ma.masked_equal([1.0, 2.0], 2.0), [1, 0])
    whole = np.ma.masked_equal([1.0, 2.0], 3.0)
    assert binary_metrics(whole, [1, 0]) == binary_metrics(whole.data, [1, 0])
