"""What a Trainer is given that nobody expects: nothing is trained, or measured, by mistake."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor, nn, optim
from fedlearn.autograd import gradcheck, gradgradcheck
from fedlearn.errors import BadInput
from fedlearn.nn import functional as F
from fedlearn.training.trainer import Trainer

X, Y = np.eye(3, 2, dtype=np.float32), np.array([0, 1, 2])


def other():
    return optim.SGD(nn.Linear(2, 3).parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"optimizer": other()}, "none of this model's parameters"),
        ({"optimizer": None}, "optimizer is a NoneType"),
        ({"loss": F.cross_entropy}, "loss is a function"),
        ({"validation": X}, "a pair"),
        ({"validation": (X, Y, Y)}, "a pair"),
    ],
)
def test_what_would_train_nothing_is_refused(odd, says):
    model = nn.Linear(2, 3)
    usual = {"batch_size": 2, "epochs": 1, "optimizer": optim.SGD(model.parameters()), "loss": nn.CrossEntropyLoss()}
    before = model.state_dict()
    with pytest.raises(BadInput, match=says):
        Trainer(model).fit(X, Y, **{**usual, **odd})
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, None])
def test_a_measure_of_no_batches_is_refused(batch_size):
    with pytest.raises(BadInput, match="batch_size"):
        Trainer(nn.Linear(2, 3)).evaluate(X, Y, nn.CrossEntropyLoss(), batch_size)


@pytest.mark.parametrize("rng", [0, 5, "x"])
def test_a_number_in_the_place_of_a_generator_is_refused(rng):
    for drawing in (
        lambda: Trainer(nn.Linear(2, 3), rng),
        lambda: gradcheck(lambda x: x * x, [Tensor(np.ones(2), requires_grad=True)], rng),
        lambda: gradgradcheck(lambda x: x * x, [Tensor(np.ones(2), requires_grad=True)], rng),
    ):
        with pytest.raises(BadInput, match="default_rng"):
            drawing()


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_every_part_in_its_own_mode(training):
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    model.train(training)
    model[1].train(not training)
    trainer = Trainer(model)
    assert trainer.evaluate(X, Y, nn.CrossEntropyLoss()) == trainer.evaluate(X, Y, nn.CrossEntropyLoss())
    assert [part.training for part in model.modules()] == [training, training, not training]
    with pytest.raises(BadInput):
        trainer.evaluate(X.T, Y[:2], nn.CrossEntropyLoss())
    assert model.training is training


@pytest.mark.parametrize("model", [None, nn.Linear, lambda x: x])
def test_what_is_no_model_is_refused_at_once(model):
    with pytest.raises(BadInput, match=r"give a fedlearn\.nn\.Module"):
        Trainer(model)


def test_a_last_batch_of_one_is_named_where_it_has_no_variance():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.raises(BadInput, match="also the last"):
        Trainer(model).fit(X, Y, 2, 1, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss())
