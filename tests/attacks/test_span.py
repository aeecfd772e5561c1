"""Exact text from an LSTM's or RNN's update: within the bound all of it, above it nothing and a plain word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.peel import Peel
from fedlearn.attacks.span import SpanTest
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.examples import Arrays
from fedlearn.models.chars import CharLSTM, CharRNN
from fedlearn.protocol import PartyView
from fedlearn.secure import Masks, Plain
from fedlearn.strategies import FedAvg

LETTERS = "abcdefghijklmnopqrstuvwxyz ."
CODEC = FixedPoint(bits=28, bound=4.0, addends=100)


def recorded(
    folder: Path, batch: int, length: int, *, kind=CharLSTM, hidden=64, steps=1, people=1, lr=1.0, layers=1, **training
) -> tuple[PartyView, list[str]]:
    """A round of `people` who train `steps` steps of `batch` windows each; and their texts."""
    rng = np.random.default_rng(1)
    ids = rng.integers(len(LETTERS), size=(people, batch * steps, length + 1))
    clients = [Client(f"c{i}", Arrays(rows[:, :-1], rows[:, 1:])) for i, rows in enumerate(ids)]
    model = kind(len(LETTERS), hidden, layers=layers, rng=rng)
    strategy = FedAvg(epochs=1, batch_size=batch, lr=lr, max_weight=batch * steps, **training)
    protection = Plain(CODEC) if people == 1 else Masks(CODEC)
    run = RunFolder(folder, {}, {}, record=True)
    aggregator = Aggregator(model, strategy, protection, vocabulary={"characters": LETTERS}, folder=run)
    aggregator.fit(InlinePool(clients), 1)
    return PartyView.load(folder), ["".join(LETTERS[i] for i in row) for row in ids.reshape(-1, length + 1)]


@pytest.mark.parametrize("kind", [CharLSTM, CharRNN])
@pytest.mark.parametrize(("batch", "length"), [(1, 8), (1, 24), (4, 8)])
def test_the_text_is_read_exactly(tmp_path, kind, batch, length):
    view, truth = recorded(tmp_path, batch, length, kind=kind)
    (found,) = SpanTest().run(view)
    assert sorted(found.texts) == sorted(truth)
    assert found.rank == batch * (length - 1)
    assert not found.above_bound


def test_the_texts_of_several_people_are_read_off_their_sum(tmp_path):
    view, truth = recorded(tmp_path, 1, 12, people=3)
    (found,) = SpanTest().run(view)
    assert found.about == "sum"
    assert sorted(found.texts) == sorted(truth)


def test_above_the_bound_it_names_nothing_and_says_so(tmp_path):
    view, _ = recorded(tmp_path, 8, 12)
    (found,) = SpanTest().run(view)
    assert found.texts == ()
    assert found.above_bound
    assert "too much text" in str(found)


@pytest.mark.parametrize("training", [{}, {"momentum": 0.9}, {"weight_decay": 1e-2, "momentum": 0.5}])
def test_local_steps_are_peeled_off_one_after_the_other(tmp_path, training):
    view, truth = recorded(tmp_path, 1, 12, steps=4, lr=0.5, **training)
    (peeled,), (once,) = Peel().run(view), SpanTest().run(view)
    assert sorted(peeled.texts) == sorted(truth)
    assert len(set(once.texts) & set(truth)) == 1


def test_weight_decay_does_not_hide_the_text(tmp_path):
    view, truth = recorded(tmp_path, 2, 10, weight_decay=0.1)
    (found,) = SpanTest().run(view)
    assert sorted(found.texts) == sorted(truth)


@pytest.mark.parametrize("attack", [SpanTest(), Peel()])
def test_steps_that_are_no_sums_of_gradients_are_refused(tmp_path, attack):
    view, _ = recorded(tmp_path, 1, 8, lr=0.01, optimizer="adam")
    with pytest.raises(NotReadable, match="adam"):
        attack.run(view)


def test_a_sum_is_not_peeled(tmp_path):
    view, _ = recorded(tmp_path, 1, 8, people=3)
    with pytest.raises(NotReadable, match="sums"):
        Peel().run(view)


def test_a_model_that_it_does_not_know_is_refused(tmp_path):
    view, _ = recorded(tmp_path, 1, 8, layers=2)
    with pytest.raises(NotReadable, match="layers"):
        SpanTest().run(view)
