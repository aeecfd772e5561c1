"""Trackers: what they write, and that none of them ends a run."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from aggregator import Aggregator, CsvTracker, ProgressTracker, TensorBoardTracker
from clients import Client, InlinePool
from fedlearn.datasets.examples import Arrays
from fedlearn.testing.toys import dense_examples, dense_model


class Fails:
    def __init__(self, when: str, error: type[BaseException] = RuntimeError):
        self.when, self.error, self.calls = when, error, []

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name == self.when:
            raise self.error("no network")

    def begin(self, rounds, first):
        self._called("begin")

    def round(self, record):
        self._called("round")

    def end(self):
        self._called("end")


def federation(*trackers) -> tuple[Aggregator, InlinePool]:
    people = [Client(f"client-{i}", dense_examples(4, seed=i)) for i in range(4)]
    return Aggregator(dense_model(), protection="none", trackers=trackers), InlinePool(people)


@pytest.mark.parametrize("when", ["begin", "round", "end"])
def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(when, tmp_path, caplog):
    failing, csv_file = Fails(when), CsvTracker(tmp_path / "rounds.csv")
    aggregator, pool = federation(failing, csv_file)
    history = aggregator.fit(pool, 3)
    assert history.counted == 3
    assert failing.calls.count(when) == 1
    assert caplog.text.count("Fails failed and is left out") == 1
    with open(csv_file.path, newline="") as lines:
        assert [float(row["loss"]) for row in csv.DictReader(lines)] == [record.loss for record in history.rounds]


def test_an_interrupted_fit_keeps_what_it_came_to():
    aggregator, pool = federation(Fails("round", KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        aggregator.fit(pool, 3)
    assert len(aggregator.history.rounds) == 1


def test_progress_is_a_line_a_round():
    said = io.StringIO()
    aggregator, pool = federation(ProgressTracker(said))
    history = aggregator.fit(pool, 3)
    lines = said.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == ["round 1 of 3", "round 2 of 3", "round 3 of 3"]
    assert f"loss {history.metrics['loss']:.4f}" in lines[-1]
    assert ["left" in line for line in lines] == [True, True, False]


def test_what_is_printed_of_the_parties_holds_no_data():
    client = Client("bob", Arrays(np.full((2, 3), 123.25), np.array([7, 7])))
    assert repr(client) == "<Client bob: 2 examples>"
    aggregator, pool = federation()
    aggregator.fit(pool, 2)
    assert repr(aggregator).endswith("weights: fedavg, none, 2 rounds run>")


def test_tensorboard_gets_a_file(tmp_path):
    pytest.importorskip("tensorboardX")
    aggregator, pool = federation(TensorBoardTracker(tmp_path / "board"))
    aggregator.fit(pool, 2)
    (events,) = (tmp_path / "board").glob("events*")
    assert b"train_loss" in events.read_bytes()
