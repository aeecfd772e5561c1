"""What recorded steps must not change, and what they leave to the tape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedlearn import nn
from fedlearn.autograd import no_grad, no_replay
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput
from fedlearn.models import MLP
from fedlearn.models.base import Model, mean_cross_entropy
from fedlearn.nn.stackable import unreplayable
from fedlearn.strategies import STRATEGIES
from fedlearn.training.flat import FlatModel
from tests.training.test_recorded import batch, both, programs, ready


def test_a_gradient_that_somebody_keeps_stays_theirs():
    flat = ready()
    kept = [flat.gradient(batch(seed)) for seed in range(8)]
    for seed, (loss, gradient) in enumerate(kept):
        with no_replay():
            expected = flat.gradient(batch(seed))
        assert loss == expected[0]
        np.testing.assert_array_equal(gradient, expected[1])
    piece = flat.gradient(batch(0))[1][:4]
    before = piece.copy()
    flat.gradient(batch(1))
    np.testing.assert_array_equal(piece, before)


def test_what_a_step_writes_into_its_gradient_is_gone_in_the_next():
    flat = ready()
    flat.gradient(batch(5))[1][...] = np.nan
    both(flat, batch(6))


def test_parameters_that_are_frozen_replaced_or_moved_are_noticed():
    flat = ready()
    first = flat._parameters[0]
    first.requires_grad_(False)
    both(flat, batch(3))
    assert not flat.gradient(batch(3))[1][: first.size].any()
    first.requires_grad_(True)
    both(flat, batch(3))
    first._data = first._data.copy()
    first._data += 1
    both(flat, batch(3))


def test_other_precisions_and_orders_in_memory_are_the_tapes():
    flat, plain = ready(), batch(3)
    for features in (
        plain.features.astype(np.float64),
        np.asfortranarray(plain.features),
        np.repeat(plain.features, 2, axis=1)[:, ::2],
        plain.features[::-1],
    ):
        for _ in range(3):
            both(flat, Arrays(features, plain.targets))
    for targets in (plain.targets.astype(np.int32), plain.targets.astype(np.uint8), plain.targets[::-1]):
        for _ in range(3):
            both(flat, Arrays(plain.features, targets))


@pytest.mark.parametrize("wrong", [-1, 3, 2**40])
def test_a_class_out_of_range_is_refused_by_name_as_ever(wrong: int):
    flat, examples = ready(), batch(3)
    examples.targets[2] = wrong
    with pytest.raises(BadInput, match=f"target class {wrong} is out of range"):
        flat.gradient(examples)
    both(flat, batch(4))


def test_nothing_is_replayed_where_nothing_is_recorded():
    flat = ready()
    with no_grad():
        both(flat, batch(3))


class Dropping(Model):
    """With dropout twice before its head."""

    replayable = True

    def __init__(self, *, rng: np.random.Generator | None = None):
        self.hidden, self.drop, self.head = nn.Linear(6, 5, rng=rng), nn.Dropout(0.4), nn.Linear(5, 3, rng=rng)

    def loss(self, batch: Any) -> Any:
        logits = self.head(self.drop(self.drop(self.hidden(batch.inputs[0]))))
        return mean_cross_entropy(logits, batch.targets)


def test_dropout_draws_from_whatever_generator_there_is_as_on_the_tape():
    flat, reference = (FlatModel(Dropping(rng=np.random.default_rng(0))) for _ in range(2))
    for seed in range(12):
        mine, expected = np.random.default_rng(seed // 3), np.random.default_rng(seed // 3)
        flat.model.use_rng(mine)
        reference.model.use_rng(expected)
        for model in (flat.model, reference.model):
            model.train(seed % 4 != 3)
        examples = batch(seed)
        if seed == 8:
            examples.targets[0] = 7
            with pytest.raises(BadInput):
                flat.gradient(examples)
            with no_replay(), pytest.raises(BadInput):
                reference.gradient(examples)
        examples = batch(seed)
        with no_replay():
            loss, gradient = reference.gradient(examples)
        found = flat.gradient(examples)
        assert (found[0].tobytes(), found[1].tobytes()) == (loss.tobytes(), gradient.tobytes())
        assert mine.random() == expected.random()
    assert programs(flat) == 1
    flat.model.drop.rng = None  # fresh entropy is no record's to repeat
    assert flat.gradient(batch(0))[1].any()


class Choosy(MLP):
    """Decides by a value, and counts: no class of it says that it is replayable."""

    def loss(self, batch: Any) -> Any:
        self.steps = getattr(self, "steps", 0) + 1
        loss = mean_cross_entropy(self(*batch.inputs), batch.targets)
        return loss * 2 if batch.inputs[0].mean() > 0.5 or self.steps % 3 == 0 else loss


class Layer(nn.ReLU):
    def forward(self, input: Any) -> Any:
        return super().forward(input) if float(np.asarray(input.detach()).sum()) > 0 else input * 0.5


def test_a_class_that_defines_its_own_computation_does_not_inherit_the_promise():
    rng = np.random.default_rng(0)
    assert unreplayable(Choosy((6, 5, 3), rng=rng)) == ["Choosy"]
    assert unreplayable(nn.Sequential(nn.Linear(1, 1), Layer())) == ["Layer"]
    assert unreplayable(nn.Sequential(nn.Linear(1, 1), nn.Dropout(), nn.BatchNorm1d(1))) == ["BatchNorm1d"]
    assert unreplayable(MLP((6, 5, 3), rng=rng)) == []
    flat = FlatModel(Choosy((6, 5, 3), rng=np.random.default_rng(0)))
    reference = FlatModel(Choosy((6, 5, 3), rng=np.random.default_rng(0)))
    for seed in range(9):
        with no_replay():
            expected = reference.gradient(batch(seed))
        loss, gradient = flat.gradient(batch(seed))
        assert (loss.tobytes(), gradient.tobytes()) == (expected[0].tobytes(), expected[1].tobytes())


class Masked(Model):
    """Says that it is replayable, and is not: what shows on the tape is found out."""

    replayable = True

    def __init__(self, *, rng: np.random.Generator | None = None):
        self.layer = nn.Linear(6, 3, rng=rng)

    def forward(self, x: np.ndarray) -> Any:
        return self.layer(x * (x > 0.5))

    def loss(self, batch: Any) -> Any:
        return mean_cross_entropy(self(*batch.inputs), batch.targets)


def test_an_array_of_unknown_origin_leaves_the_steps_to_the_tape():
    flat = FlatModel(Masked(rng=np.random.default_rng(0)))
    for seed in range(5):
        both(flat, batch(seed))
    assert programs(flat) == 0


class Picky(MLP):
    """Asks its examples for more than inputs and targets."""

    replayable = True
    stackable = True

    def loss(self, batch: Any) -> Any:
        first = batch.take(slice(0, 2))
        return mean_cross_entropy(self(first.features), first.targets)


@pytest.mark.parametrize("copies", [(), (5,)])
def test_a_model_that_asks_more_of_its_examples_is_left_to_the_tape(copies):
    flat = FlatModel(Picky((6, 5, 3), rng=np.random.default_rng(0)), *copies)
    for seed in range(4):
        both(flat, batch(seed, 12, copies))
    assert programs(flat) == 0


def test_strategies_of_every_kind_keep_no_gradient():
    for name in ("fedavg", "fedprox"):
        flat, examples = ready(), batch(0, 12)
        STRATEGIES.load(name)(epochs=3, batch_size=6).local_update(flat, examples, {}, np.random.default_rng(0))
        assert flat._recorded is not None
        assert flat._recorded._lent
