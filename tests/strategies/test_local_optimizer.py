"""Local Adam is the Adam of `fedlearn.optim`, begun anew every round; algorithms that count SGD's steps refuse it."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import optim
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput
from fedlearn.models.mlp import MLP
from fedlearn.strategies import FedAvg
from fedlearn.strategies.fednova import FedNova
from fedlearn.strategies.fedprox import FedProx
from tests.toys import toy_bags, toy_model


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_local_adam_is_adam(weight_decay):
    rng = np.random.default_rng(0)
    data = Arrays(rng.random((12, 5), np.float32), rng.integers(3, size=12))
    model, other = (MLP((5, 6, 3), rng=np.random.default_rng(1)) for _ in range(2))
    strategy = FedAvg(epochs=3, batch_size=4, lr=0.01, weight_decay=weight_decay, optimizer="adam")
    strategy.local_update(model, data, {}, np.random.default_rng(2))
    optimizer = optim.Adam(other.parameters(), lr=0.01, weight_decay=weight_decay)
    shuffles = np.random.default_rng(2)
    for _ in range(3):
        order = shuffles.permutation(12)
        for start in range(0, 12, 4):
            optimizer.zero_grad()
            other.loss(data.take(order[start : start + 4])).backward()
            optimizer.step()
    np.testing.assert_allclose(model.vector, other.vector, rtol=1e-4, atol=1e-6)


def test_words_that_do_not_occur_stay_where_they_are_under_adam():
    model = toy_model(dim=4)
    before = model.vector.copy()
    data = toy_bags(3, seed=0)
    strategy = FedAvg(epochs=2, batch_size=2, lr=0.01, optimizer="adam")
    assert strategy.leaves_untouched_weights
    strategy.local_update(model, data, {}, np.random.default_rng(0))
    moved = np.flatnonzero((model.vector != before)[: 40 * 4].reshape(40, 4).any(axis=1))
    assert moved.tolist() == np.unique(data.indices).tolist()


def test_what_it_does_not_fit_is_refused():
    assert FedProx(optimizer="adam").optimizer == "adam"
    with pytest.raises(BadInput, match="choose sgd or adam"):
        FedAvg(optimizer="lbfgs")
    with pytest.raises(BadInput, match="fednova"):
        FedNova(optimizer="adam")
    with pytest.raises(BadInput, match="momentum"):
        FedAvg(optimizer="adam", momentum=0.9)


@pytest.mark.parametrize("kind", [FedAvg, FedProx, FedNova])
@pytest.mark.parametrize(
    "odd",
    [
        {"momentum": -1}, {"momentum": np.nan}, {"weight_decay": -1}, {"weight_decay": np.inf}, {"lr": np.nan},
        {"lr": "0.1"}, {"lr": True}, {"epochs": 2.0}, {"epochs": True}, {"epochs": 0}, {"batch_size": None},
        {"batch_size": np.float64(4)},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_no_training_can_use_are_refused_where_they_are_given(kind, odd):
    with pytest.raises(BadInput, match=next(iter(odd))):
        kind(**odd)


def test_numpys_numbers_are_options_like_pythons():
    assert FedAvg(epochs=np.int64(2), lr=np.float32(0.5)).arguments() == FedAvg(epochs=2, lr=0.5).arguments()
