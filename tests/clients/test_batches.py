"""Clients whose last batch holds one example, under a model that normalises over batches."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from fedlearn.strategies import FedAvg
from fedlearn.testing.toys import dense_examples, dense_model
from tests.toys import Normalised, toy_plain


def people(*sizes):
    return [Client(f"c{i}", dense_examples(size, i)) for i, size in enumerate(sizes)]


def warnings(model, pool, caplog, batch=4):
    with caplog.at_level(logging.WARNING):
        history = Aggregator(model, FedAvg(batch_size=batch), toy_plain()).fit(pool, 2)
    return history, [record.getMessage() for record in caplog.records if "cannot normalise" in record.getMessage()]


@pytest.mark.parametrize("pool", [InlinePool, ProcessPool])
def test_they_are_named_once_before_the_run_and_lost_in_it(pool, caplog):
    model = Normalised(rng=np.random.default_rng(0))
    history, said = warnings(model, pool(people(4, 5, 8, 9)), caplog)
    assert len(said) == 1
    assert said[0].startswith("2 of 4 clients, c1 among them, have 1 example in their last batch of 4")
    assert [sorted(record.lost) for record in history.rounds] == [[1, 3], [1, 3]]


class Uncounted:
    """Examples that cannot be counted."""

    def __len__(self):
        raise OSError("the disk is busy")

    def take(self, order):
        raise OSError("the disk is busy")


def test_nothing_is_said_where_all_is_well(caplog):
    assert warnings(Normalised(), InlinePool(people(4, 6)), caplog)[1] == []
    assert warnings(dense_model(), InlinePool(people(4, 5)), caplog)[1] == []
    assert warnings(Normalised(), InlinePool([*people(4, 6), Client("odd", Uncounted())]), caplog)[1] == []
