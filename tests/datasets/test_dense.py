from __future__ import annotations

import sys

import numpy as np
import pytest

from fedlearn.datasets import load_samples
from fedlearn.datasets.dense import Samples, Scale, spirals, split_samples
from fedlearn.errors import BadInput, DataError, ShapeError


def test_digits_are_scikit_learns_scaled_to_the_unit_interval():
    datasets = pytest.importorskip("sklearn.datasets", reason="pip install 'fedlearn[datasets]'")
    digits = load_samples("digits")
    assert digits.features.shape == (1797, 64)
    assert (digits.features.dtype, digits.labels.dtype, digits.classes) == (np.float32, np.int64, 10)
    assert (digits.features.min(), digits.features.max()) == (0.0, 1.0)
    theirs = datasets.load_digits()
    assert np.array_equal(digits.features.reshape(-1, 8, 8) * 16, theirs.images)
    assert np.array_equal(digits.labels, theirs.target)
    assert not digits.synthetic


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DataError, match=r"digits needs scikit-learn: pip install 'fedlearn\[datasets\]'"):
        load_samples("digits")


def test_the_spirals_are_the_same_for_everybody():
    points = load_samples("spirals")
    assert points.synthetic
    assert points.features.shape == (300, 2)
    assert np.bincount(points.labels).tolist() == [100, 100, 100]
    assert np.allclose(points.features[[0, 150]], [[0.048691, 0.011367], [-0.259566, -0.461856]], atol=1e-6)
    assert points.sha256 == load_samples("spirals").sha256


def test_spirals_without_noise_lie_on_their_curves():
    points = spirals(per_arm=50, arms=4, turns=0.5, noise=0.0, rng=np.random.default_rng(0))
    radius = np.hypot(*points.features.T)
    angle = np.arctan2(points.features[:, 1], points.features[:, 0])
    turn = np.exp(1j * (angle - np.pi * radius - np.pi / 2 * points.labels))
    assert np.allclose(turn, 1.0, atol=1e-5)
    assert (radius.min(), radius.max()) == pytest.approx((0.05, 1.0))


def test_split_is_stratified_and_loses_nothing():
    points = load_samples("spirals")
    train, test = split_samples(points, 0.2, seed=1)
    assert np.bincount(test.labels).tolist() == [20, 20, 20]
    rows = np.concatenate([train.features, test.features])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, points.features))
    assert np.array_equal(split_samples(points, seed=1)[0].features, train.features)
    assert not np.array_equal(split_samples(points, seed=2)[0].features, train.features)


def test_examples_are_views():
    points = load_samples("spirals")
    assert points.examples().inputs[0] is points.features
    assert points.examples().targets is points.labels


def test_bad_input_is_refused():
    with pytest.raises(
        BadInput,
        match="data set sample is for ham/spam, not classes: choose digits, iris, wine, breast_cancer, spirals",
    ):
        load_samples("sample")
    with pytest.raises(BadInput, match="neither a file nor a data set"):
        load_samples("irises")
    with pytest.raises(BadInput, match="1 spiral of 10 points"):
        spirals(10, 1, 1.0, 0.0, np.random.default_rng(0))
    with pytest.raises(BadInput, match="test fraction"):
        split_samples(load_samples("spirals"), 1.5)
    with pytest.raises(ShapeError, match="2 rows but 3 labels"):
        Samples("x", np.zeros((2, 1)), np.zeros(3, dtype=np.int64), 1, False, "", "")


def test_truth_values_are_classes_and_features():
    made = Samples.of("mine", np.eye(2, dtype=bool), np.array([False, True]), source="here")
    assert (made.features.dtype, made.labels.dtype, made.classes) == (np.float32, np.int64, 2)
    assert Samples("mine", np.eye(2), np.array([False, True]), 2, True, "", "").labels.tolist() == [0, 1]


@pytest.mark.parametrize("part", ["features", "labels"])
def test_masked_numbers_are_refused(part):
    given = {"features": np.eye(2), "labels": np.array([0, 1])}
    given[part] = np.ma.masked_equal(given[part], 1)
    with pytest.raises(BadInput, match=f"{part} have . masked value"):
        Samples.of("mine", **given, source="here")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -7.3, 1e8 + 1, 1e-30])
@pytest.mark.parametrize("rows", [1, 3, 7, 1000])
def test_a_constant_column_is_divided_by_1_however_its_mean_is_rounded(value, rows, dtype):
    public = np.full((rows, 2), value, dtype)
    public[:, 1] = np.arange(rows)
    scale = Scale.of(public)
    assert (scale.mean[0], scale.deviation[0]) == (dtype(value), 1)
    assert scale.mean.dtype == scale.deviation.dtype == dtype
    assert scale.applied(np.array([[2 * dtype(value), 0]], dtype))[0, 0] == dtype(value)
