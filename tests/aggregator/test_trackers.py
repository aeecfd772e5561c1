"""Trackers: what they write, and that none of them ends a run."""

from __future__ import annotations

import csv
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from aggregator import Aggregator, CsvTracker, ProgressTracker, TensorBoardTracker
from aggregator.watching import Watched
from clients import Client, InlinePool
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.examples import Arrays
from fedlearn.secure import Paillier
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


class Follows:
    """A tracker that is told everything."""

    def __init__(self):
        self.outlooks, self.phases = [], []

    def outlook(self, outlook):
        self.outlooks.append(outlook)

    def begin(self, rounds, first): ...

    def phase(self, phase):
        self.phases.append(phase)

    def round(self, record): ...

    def end(self): ...


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_line_a_round():
    said = io.StringIO()
    aggregator, pool = federation(ProgressTracker(said))
    history = aggregator.fit(pool, 3)
    first, *lines = said.getvalue().splitlines()
    assert first.startswith("4 clients train 53 weights in 3 rounds (fedavg, none)")
    assert [line.split(":")[0] for line in lines] == ["round 1 of 3", "round 2 of 3", "round 3 of 3"]
    assert f"loss {history.metrics['loss']:.4f}" in lines[-1]
    assert ["left" in line for line in lines] == [True, True, False]


def test_on_a_terminal_progress_is_one_line_that_changes(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    said = Terminal()
    aggregator, pool = federation(ProgressTracker(said))
    aggregator.fit(pool, 3)
    first, changing, end = said.getvalue().split("\n")
    assert (first[:9], end) == ("4 clients", "")
    shown = changing.split("\r")[1:]
    assert shown[0].startswith("round 1 of 3: training 0 of 4")
    assert shown[-1].startswith("round 3 of 3: loss")
    assert max(map(len, shown)) < 50


@pytest.mark.parametrize(
    ("terminal", "progress", "watched", "shown"),
    [
        (True, None, (), True),
        (True, False, (), False),
        (True, None, (Follows(),), False),
        (True, None, (Fails("never"),), True),
        (False, None, (), False),
        (False, True, (), True),
    ],
)
def test_progress_is_shown_where_somebody_watches(terminal, progress, watched, shown, monkeypatch):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    aggregator, pool = federation(*watched)
    aggregator.fit(pool, 1, progress=progress)
    assert ("round 1 of 1" in stream.getvalue()) is shown


@pytest.mark.parametrize("notebook", [True, False])
def test_progress_is_shown_in_a_notebook_and_not_where_ipython_is_only_imported(notebook, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    shell = SimpleNamespace(kernel=object()) if notebook else None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    aggregator, pool = federation()
    aggregator.fit(pool, 1)
    assert ("round 1 of 1" in stream.getvalue()) is notebook


def test_a_process_without_standard_error_trains(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    aggregator, pool = federation()
    assert aggregator.fit(pool, 1).counted == 1


def test_whoever_follows_is_told_the_outlook_and_each_phase():
    follower = Follows()
    people = [Client(f"client-{i}", dense_examples(4, seed=i)) for i in range(4)]
    codec = FixedPoint(bits=24, bound=8.0, addends=16)
    hidden = Paillier(512, codec, insecure_test_key=True)
    Aggregator(dense_model(), protection=hidden, cohort=3, trackers=[follower]).fit(InlinePool(people), 2)
    (outlook,) = follower.outlooks
    assert (outlook.cohort, outlook.population, outlook.does, outlook.rounds) == (3, 4, "train 53 weights", 2)
    assert outlook.price.client > 0
    assert outlook.price.opening > 0
    assert str(outlook).startswith(
        "4 clients, 3 a round, train 53 weights in 2 rounds (fedavg, paillier); encrypting and"
    )
    first = [str(phase) for phase in follower.phases if phase.round == 1]
    assert (first[0], first[-2], first[-1]) == (
        "training and encrypting 0 of 3", "training and encrypting 3 of 3", "opening",
    )  # fmt: skip


def test_the_outlook_of_a_run_that_goes_on_is_of_the_rounds_that_are_left(tmp_path):
    follower = Follows()
    people = [Client(f"client-{i}", dense_examples(4, seed=i)) for i in range(4)]
    for rounds in (1, 3):
        made = dict(folder=tmp_path / "run", resume=rounds > 1, trackers=[follower])
        Aggregator(dense_model(), "fedavg", **made).fit(InlinePool(people), rounds)
    assert [(outlook.done, outlook.rounds) for outlook in follower.outlooks] == [(0, 1), (1, 3)]


def test_only_the_phase_in_which_clients_train_is_said_to_be_that():
    follower = Follows()
    people = [Client(f"client-{i}", dense_examples(4, seed=i)) for i in range(4)]
    Aggregator(dense_model(), protection="masks", trackers=[follower]).fit(InlinePool(people), 1)
    assert list(dict.fromkeys(phase.name for phase in follower.phases)) == [
        "keys", "shares", "training and masking", "check", "unmask", "opening",
    ]  # fmt: skip


def test_of_many_answers_at_once_only_the_first_and_the_last_are_told(monkeypatch):
    monkeypatch.setattr("aggregator.watching.OFTEN", 1e9)
    follower = Follows()
    watched = Watched([follower])
    for name in ("training", "opening"):
        for done in range(5):
            watched.phase(1, name, done, 4)
    assert [(phase.name[0], phase.done) for phase in follower.phases] == [("t", 0), ("t", 4), ("o", 0), ("o", 4)]


def test_the_outlook_is_made_where_somebody_asks_for_it():
    Watched([Fails("never")]).outlook(lambda: pytest.fail("it takes time"))


def test_within_a_phase_is_told_so_often_and_no_more(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("aggregator.watching.OFTEN", 0.5)
    follower = Follows()
    watched = Watched([follower])
    for done, seconds in ((1, 0.0), (2, 0.25), (3, 0.25), (4, 0.25), (5, 0.5)):
        now[0] += seconds
        watched.phase(1, "training", done, 9)
    assert [phase.done for phase in follower.phases] == [1, 3, 5]


def test_where_nothing_is_hidden_nothing_is_told_to_be_opened():
    follower = Follows()
    aggregator, pool = federation(follower)
    aggregator.fit(pool, 1)
    assert {phase.name for phase in follower.phases} == {"training"}


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
