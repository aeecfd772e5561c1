"""Folders that others made: what is no ordinary file in one is neither waited for nor written through."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from aggregator import Aggregator, RunFolder
from aggregator.checkpoints import Checkpoints
from aggregator.journal import Journal
from clients import InlinePool
from clients.memory import ClientMemory
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.modelfile import read_model, weights_in
from fedlearn.privacy.ledger import Ledger
from fedlearn.protocol import PartyView
from fedlearn.secure.kept import KeptKeys
from fedlearn.secure.opened import OpenedRounds
from fedlearn.secure.pki import Pki
from scenarios.report.runs import Run
from tests.toys import toy_clients, toy_model, toy_paillier, toy_strategy

READERS = {
    "model.safetensors": lambda path: weights_in(path),
    "best.safetensors": lambda path: read_model(path),
    "opened.journal": lambda path: Journal(path).open(),
    "round-000001.safetensors": lambda path: newest(path.parent),
    "opener-0": lambda path: OpenedRounds(2, None).recall(path),
    "revealed-0": lambda path: ClientMemory(path.parent).revealed(),
    "0": lambda path: ClientMemory(path.parent).rewind(1),
    "ledger.jsonl": lambda path: Ledger.load(path),
    "threshold.key": lambda path: KeptKeys(path.parent).shared(False),
    "client-0.public": lambda path: Pki(path.parent).public(0),
    "run.json": lambda path: Run.load(path.parent),
    "transcript.jsonl": lambda path: PartyView.load(path.parent),
}


def newest(folder: Path) -> None:
    checkpoints = Checkpoints(folder, folder / "metrics.jsonl")
    checkpoints.open()
    checkpoints.newest()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", READERS)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises((FedlearnError, OSError)):
        READERS[name](tmp_path / name)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    fit(path, resume=False, rounds=1)
    return path


def fit(path: Path, resume: bool, rounds: int) -> None:
    folder = RunFolder(path, {}, {}, resume=resume)
    Aggregator(toy_model(), toy_strategy(), toy_paillier(), folder=folder).fit(InlinePool(toy_clients()), rounds)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "run.log", "clients.log", "transcript.jsonl", "checkpoint/openers/opener-0", "checkpoint"]
)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_run_does_not_go_on_through_a_link_or_a_pipe(name, kind, run, tmp_path):
    copy, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(run, copy)
    if (copy / name).exists():
        os.rename(copy / name, elsewhere)
    else:
        elsewhere.write_text("what a user has")
    if kind == "link":
        os.symlink(elsewhere, copy / name)
    else:
        os.mkfifo(copy / name)
    before = {path: path.read_bytes() for path in [elsewhere, *elsewhere.rglob("*")] if path.is_file()}
    with pytest.raises(BadInput, match=r"is a link, a pipe or a device"):
        fit(copy, resume=True, rounds=2)
    assert all(path.read_bytes() == content for path, content in before.items())
