"""Clients who share arrays train on views of them to the bits that copies give, and what is at fault is said."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn.autograd import no_replay
from fedlearn.datasets.examples import Arrays, View
from fedlearn.errors import BadInput
from fedlearn.models import MLP
from fedlearn.strategies import FedAvg
from fedlearn.training.flat import FlatModel
from fedlearn.training.stacks import singles, stack
from tests.training.test_recorded import _Stacked

EXAMPLES = 9


def whole() -> Arrays:
    rng = np.random.default_rng(0)
    return Arrays(rng.random((40, 6), np.float32), rng.integers(3, size=40))


def rows(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-40, 40, size=EXAMPLES, dtype=np.int32)


def trained(examples, copies: int | None) -> list[bytes]:
    flat, found = FlatModel(MLP((6, 5, 3), rng=np.random.default_rng(1)), copies), []
    for seed in range(3):
        draws = np.random.default_rng(seed)
        update = FedAvg(2, 4, 0.3).local_update(flat, examples, {}, _Stacked(draws, copies) if copies else draws)
        found += [update.vectors["delta"].tobytes(), np.asarray(update.loss).tobytes()]
    return found


@pytest.mark.parametrize("copies", [None, 5])
def test_views_train_to_the_bits_of_copies_recorded_or_not(copies: int | None):
    images = whole()
    views = [View(images, rows(seed)) for seed in range(copies or 1)]
    copied = [images.take(view.rows) for view in views]
    gathered, plain = (stack(views), stack(copied)) if copies else (views[0], copied[0])
    expected = trained(plain, copies)
    assert trained(gathered, copies) == expected
    with no_replay():
        assert trained(gathered, copies) == expected


def test_a_row_that_there_is_not_is_refused_stacked_and_alone():
    images = whole()
    views = [View(images, np.array([0, 40])), View(images, np.array([0, 1]))]
    with pytest.raises(IndexError, match="40"):
        stack(views)
    with pytest.raises(BadInput, match="40"):
        FedAvg(1, 2, 0.1).local_update(FlatModel(MLP((6, 5, 3))), views[0], {}, np.random.default_rng(0))


def test_examples_one_by_one_are_those_of_a_view_counted_from_the_end_too():
    view = View(whole(), np.array([-1, 3, -40]))
    alone = singles(view, np.array([2, 0]))
    places = [np.empty((2, 1, 6), np.float32), np.empty((2, 1), np.int64)]
    alone.gather(places)
    assert places[1].ravel().tolist() == view.targets[[2, 0]].tolist()
    assert np.array_equal(places[0][:, 0], view.inputs[0][[2, 0]])


def test_a_programs_batch_refuses_such_a_row_too():
    images, flat = whole(), FlatModel(MLP((6, 5, 3)))
    for _ in range(3):
        flat.gradient(View(images, np.array([0, 1])))
    assert flat._recorded is not None
    assert flat._recorded._programs
    with pytest.raises(BadInput, match="40"):
        flat.gradient(View(images, np.array([0, 40])))
