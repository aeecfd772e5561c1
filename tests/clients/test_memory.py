"""What clients keep between rounds: the same on every pool, through retries, kills and resumes; seen by nobody."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool, ProcessPool
from clients.memory import ClientMemory
from fedlearn.datasets.examples import Arrays, View
from fedlearn.errors import FedlearnError
from fedlearn.models.mlp import MLP
from fedlearn.protocol import AGGREGATOR, EVERYBODY, Counted, Message, Step
from fedlearn.protocol.bodies import STATE_ENTRY
from fedlearn.sampling import sample_cohort
from fedlearn.strategies import FedAvg
from fedlearn.strategies.scaffold import Scaffold
from tests.aggregator.test_runfolder import files_of_at_most
from tests.clients.test_pools import kill
from tests.scenarios.command import fedlearn
from tests.toys import toy_plain

POPULATION, COHORT, SEED = 12, 5, 3
WIDTHS = (6, 5, 3)
SIZE = MLP(WIDTHS).vector.size
STATE = {"c_i": SIZE}


class Crowd:
    """Clients made when they are sampled, of two sizes, so that some stack and some do not."""

    def __init__(self, deadly: int | None = None, mark: Path | None = None):
        rng = np.random.default_rng(0)
        self.examples = Arrays(rng.standard_normal((60, 6), dtype=np.float32), rng.integers(3, size=60))
        self.deadly, self.mark = deadly, mark

    def __len__(self) -> int:
        return POPULATION

    def __getitem__(self, number: int) -> Client:
        if number == self.deadly and self.mark is not None and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        rows = np.random.default_rng(number).integers(60, size=13 if number % 4 else 8)
        return Client(f"client-{number}", View(self.examples, rows))


def fit(pool=None, rounds=6, folder=None, strategy=None, **more):
    model = MLP(WIDTHS, rng=np.random.default_rng(1))
    strategy = strategy or Scaffold(2, 4, 0.2)
    aggregator = Aggregator(model, strategy, toy_plain(), cohort=COHORT, seed=SEED, folder=folder, **more)
    history = aggregator.fit(pool or InlinePool(Crowd()), rounds)
    return model.vector.tobytes(), history


def run_folder(path: Path, **changes) -> RunFolder:
    return RunFolder(path, {"seed": SEED}, {"name": "toy"}, **changes)


def recalled(path: Path) -> bytes:
    return ClientMemory(path / "checkpoint" / "clients").recall(range(POPULATION), STATE)["c_i"].tobytes()


def test_every_pool_and_stack_gives_the_same_bits_and_states(tmp_path):
    choices = {
        "inline": (InlinePool(Crowd()), "auto"),
        "stacked": (InlinePool(Crowd()), "on"),
        "alone": (InlinePool(Crowd()), "off"),
        "one worker": (ProcessPool(Crowd(), 1), "on"),
        "three workers": (ProcessPool(Crowd(), 3), "auto"),
        "a list": (ProcessPool([Crowd()[i] for i in range(POPULATION)], 2), "off"),
    }
    found = {
        name: (fit(pool, folder=run_folder(tmp_path / name), stack=stack)[0], recalled(tmp_path / name))
        for name, (pool, stack) in choices.items()
    }
    assert len(set(found.values())) == 1
    assert found["inline"][0] != fit(strategy=FedAvg(2, 4, 0.2))[0]
    assert fit()[0] == found["inline"][0]  # without a run folder


def test_a_recorded_run_which_adds_up_nothing_ahead_is_the_same(tmp_path):
    assert fit(folder=run_folder(tmp_path / "run", record=True))[0] == fit()[0]


def test_a_worker_killed_in_a_round_costs_an_attempt_and_no_state(tmp_path):
    """While the other worker has trained its clients and written their states down."""
    seen = [set(sample_cohort(SEED, r, POPULATION, COHORT)) for r in range(1, 7)]
    deadly = min(seen[2] - seen[0] - seen[1])
    pool = ProcessPool(Crowd(deadly, tmp_path / "mark"), 2)
    weights, history = fit(pool, folder=run_folder(tmp_path / "run"))
    assert [r.attempts for r in history.rounds] == [1, 1, 2, 1, 1, 1]
    assert weights == fit(folder=run_folder(tmp_path / "whole"))[0]
    assert recalled(tmp_path / "run") == recalled(tmp_path / "whole")


def test_a_worker_killed_between_rounds_costs_no_state():
    pool, rounds = ProcessPool(Crowd(), 2), []

    def evaluate(model):
        rounds.append(len(rounds) + 1)
        if rounds[-1] == 3:
            kill(pool.process_ids[0])
        return {}

    weights, history = fit(pool, evaluate=evaluate)
    assert [r.attempts for r in history.rounds] == [1, 1, 1, 2, 1, 1]
    assert weights == fit()[0]


def test_resuming_goes_on_from_the_states_that_belong_to_the_weights(tmp_path):
    """Also on another pool, and from the checkpoint before the last, whose states must still be there."""
    whole = fit(rounds=8)[0]
    fit(rounds=5, folder=run_folder(tmp_path / "run"))
    weights, _ = fit(ProcessPool(Crowd(), 2), 7, run_folder(tmp_path / "run", resume=True))
    newest = tmp_path / "run" / "checkpoint" / "round-000007.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    weights, history = fit(rounds=8, folder=run_folder(tmp_path / "run", resume=True))
    assert weights == whole
    assert len(history.rounds) == 8
    assert recalled(tmp_path / "run") != bytes(4 * POPULATION * SIZE)


def test_resuming_a_run_that_has_no_checkpoint_yet_begins_with_no_states(tmp_path):
    fit(rounds=2, folder=run_folder(tmp_path / "run"))
    for file in (tmp_path / "run" / "checkpoint").glob("round-*"):
        file.unlink()
    assert fit(rounds=3, folder=run_folder(tmp_path / "run", resume=True))[0] == fit(rounds=3)[0]


DIES = """
import os, signal, sys
from scenarios.command.main import main

left = int(sys.argv.pop(1))

def count(event, arguments):
    global left
    if event == "open" and f"checkpoint{os.sep}clients{os.sep}" in str(arguments[0]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
main(sys.argv[1:])
"""


def test_a_run_killed_at_any_moment_resumes_to_the_same_model(tmp_path):
    """By itself, as it opens a client's file: to write its state down, and to note that this counted, in round 5."""
    options = [
        "run", "digits", "--strategy", "scaffold", "--clients", "60", "--cohort", "20", "--rounds", "9", "--quiet",
    ]  # fmt: skip

    def model(folder: Path, *more: str) -> str:
        assert fedlearn(*options, "--out", str(folder), *more) == 0
        return json.loads((folder / "run.json").read_text())["outcome"]["model_sha256"]

    whole = model(tmp_path / "whole")
    for opened in (220, 240):
        folder = tmp_path / str(opened)
        dying = [sys.executable, "-c", DIES, str(opened), *options, "--out", str(folder)]
        killed = subprocess.run(dying, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert len((folder / "metrics.jsonl").read_text().splitlines()) == 4
        assert model(folder, "--resume") == whole


def test_no_share_is_given_away_that_the_disk_has_no_room_to_remember(tmp_path):
    """A disk that is nearly full takes a part of an entry without an error."""
    memory = ClientMemory(tmp_path)
    memory.reveal([1, 2], 1)
    with files_of_at_most(20), pytest.raises(OSError, match=r"File too large: .*revealed"):
        memory.reveal([3, 4], 2)
    assert memory.revealed() == {(1, 1), (2, 1)}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("pool", [InlinePool, ProcessPool])
def test_a_state_that_cannot_be_written_ends_the_run_and_room_lets_it_go_on(pool, tmp_path):
    seen = [set(sample_cohort(SEED, r, POPULATION, COHORT)) for r in range(1, 7)]
    folder = run_folder(tmp_path / "run")
    full = folder.client_states / str(min(seen[2] - seen[0] - seen[1]))

    def evaluate(model):
        if not full.is_symlink():
            full.symlink_to("/dev/full")
        return {}

    with pytest.raises(FedlearnError, match="cannot be used: No space left on device"):
        fit(pool(Crowd()), folder=folder, evaluate=evaluate)
    assert len((folder.path / "metrics.jsonl").read_text().splitlines()) == 2
    full.unlink()
    assert fit(pool(Crowd()), folder=run_folder(tmp_path / "run", resume=True))[0] == fit()[0]


def test_states_are_in_files_of_their_own_that_only_this_user_can_read(tmp_path):
    folder = run_folder(tmp_path / "run")
    fit(rounds=6, folder=folder)
    seen = {c for r in range(1, 7) for c in sample_cohort(SEED, r, POPULATION, COHORT)}
    assert {int(file.name) for file in folder.client_states.iterdir()} == seen
    assert len(seen) < POPULATION
    assert stat.S_IMODE(folder.client_states.stat().st_mode) == 0o700
    for file in folder.client_states.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.stat().st_size <= 64 + 5 * 4 * SIZE  # of all rounds, the states that may still be needed
    checkpoint = load_file(folder.path / "checkpoint" / "round-000006.safetensors")
    assert set(checkpoint) == {"weights", "state.c"}


def test_only_counted_clients_are_told_so_and_only_where_they_keep_state(tmp_path):
    rows = {}
    for name, strategy in {"scaffold": Scaffold(), "fedavg": FedAvg()}.items():
        folder = run_folder(tmp_path / name)
        fit(rounds=2, folder=folder, strategy=strategy)
        rows[name] = [json.loads(line) for line in (folder.path / "transcript.jsonl").read_text().splitlines()]
    told = [(row["round"], row["to"]) for row in rows["scaffold"] if row["type"] == "Counted"]
    assert told == [(r, f"client:{c}") for r in (1, 2) for c in sample_cohort(SEED, r, POPULATION, COHORT)]
    assert {row["type"] for row in rows["fedavg"]} == {"RunPlan", "TrainRequest", "PartialSum"}
    sizes = {name: next(r["bytes"] for r in kept if r["type"] == "TrainRequest") for name, kept in rows.items()}
    assert sizes["scaffold"] == sizes["fedavg"] + STATE_ENTRY.size + 4 * SIZE
    assert not (tmp_path / "fedavg" / "checkpoint" / "clients").exists()


def notice(round: int) -> bytes:
    return Message(bytes(16), Step(round, 0, "settle"), AGGREGATOR, EVERYBODY, Counted()).to_bytes()


def test_memory_has_the_state_after_each_round_that_is_still_needed_in_a_few_slots(tmp_path):
    memory = ClientMemory(tmp_path / "clients")
    memory.rewind(0)
    lengths = {"a": 2, "b": 1}
    for round in range(1, 107):
        memory.note([4, 5], {"a": np.full((2, 2), round, np.float32), "b": np.zeros((2, 1), np.float32)}, lengths)
        resumable = [kept for kept in (2, round - 2, round - 1) if 0 < kept < round]
        memory.settle(notice(round), [4] if round % 2 else [4, 5], resumable)
    assert (tmp_path / "clients" / "4").stat().st_size == 64 + 5 * 12
    assert memory.recall(4, lengths)["a"].tolist() == [106, 106]
    assert memory.recall([4, 5, 6], lengths)["a"].tolist() == [[106, 106], [106, 106], [0, 0]]
    memory.rewind(105)
    assert memory.recall([4, 5], lengths)["a"].tolist() == [[105, 105], [104, 104]]
    memory.rewind(3)
    assert memory.recall([4, 5], lengths)["a"].tolist() == [[2, 2], [2, 2]]
    memory.rewind(0)
    assert memory.recall(4, lengths)["a"].tolist() == [0, 0]


@pytest.mark.parametrize("size", [64, 64 + 7])
def test_a_state_that_was_cut_short_or_changed_is_noticed(tmp_path, size):
    memory, file = ClientMemory(tmp_path), tmp_path / "0"
    memory.note([0], {"a": np.ones((1, 2), np.float32)}, {"a": 2})
    memory.settle(notice(1), [0], [])
    whole = file.read_bytes()
    for damaged in (whole[:size], whole[:size] + bytes(len(whole) - size)):
        file.write_bytes(damaged)
        with pytest.raises(FedlearnError, match=r"0 is damaged"):
            memory.recall(0, {"a": 2})


def test_a_state_of_which_only_the_beginning_could_be_written_is_an_error(tmp_path):
    memory = ClientMemory(tmp_path / "clients")
    memory.rewind(0)
    state = {"a": np.ones((1, 200), np.float32)}
    no_room = pytest.raises(FedlearnError, match=r"4, where a client keeps its state .*cannot be used: No space left")
    with no_room, files_of_at_most(500):
        memory.note([4], state, {"a": 200})
    memory.note([4], state, {"a": 200})
    memory.settle(notice(1), [4], [])
    assert np.array_equal(memory.recall(4, {"a": 200})["a"], state["a"][0])
