"""A run that ends between an opening and its checkpoint, and goes on, opens no round a second time."""

from __future__ import annotations

import os
import shutil
import signal
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import pytest

from aggregator import Aggregator, RunFolder
from aggregator.checkpoints import Checkpoints
from aggregator.journal import Journal
from clients import Client, InlinePool
from fedlearn.errors import BadInput, CryptoKeyError, NothingLearned
from fedlearn.protocol import Opened
from fedlearn.protocol.transcript import PartyView
from fedlearn.secure import Masks, Threshold
from fedlearn.strategies import FedAvg
from fedlearn.strategies.scaffold import Scaffold
from tests.toys import TOY_BITS, FailingBags, toy_clients, toy_codec, toy_model, toy_paillier

COUNT, ROUNDS, KILLED = 5, 4, 2
PROTECTIONS = {
    "paillier": toy_paillier,
    "masks": lambda: Masks(toy_codec()),
    "threshold": lambda: Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True),
}
STRATEGIES = {
    "fedavg": lambda: FedAvg(epochs=1, batch_size=4, lr=0.5, max_weight=64),
    "scaffold": lambda: Scaffold(epochs=1, batch_size=4, lr=0.1),
}


class Absent(FailingBags):
    """Examples that can be read in some rounds only: once for each that is true."""

    def __init__(self, data, present):
        super().__init__(OSError("the disk is busy"), len(data))
        self.data, self.present = data, iter(present)

    def take(self, order):
        if isinstance(order, slice) or next(self.present):
            return self.data.take(order)
        raise self.error


def clients(absent_in: int | None, first: int = 1) -> list[Client]:
    """Client 3 is absent in one round, and there in all others."""
    made = toy_clients(COUNT)
    if absent_in:
        made[3] = Client("client-3", Absent(made[3].data, [round != absent_in for round in range(first, ROUNDS + 1)]))
    return made


def run(path: Path | None, protection: str, strategy: str, own: list[Client], resume: bool = False):
    folder = None if path is None else RunFolder(path, {"seed": 5}, {"name": "toy"}, record=True, resume=resume)
    model = toy_model()
    privacy = "noise=1,clip=20" if protection == "private masks" else None
    aggregator = Aggregator(
        model,
        STRATEGIES[strategy](),
        PROTECTIONS[protection.removeprefix("private ")](),
        seed=5,
        folder=folder,
        privacy=privacy,
    )
    try:
        history = aggregator.fit(InlinePool(own), ROUNDS)
    except NothingLearned as nothing:
        history = nothing.history
    return model.vector.tobytes(), history


def killed_run(path: Path, protection: str, strategy: str, journalled: bool) -> None:
    """Ends by SIGKILL in round 2, when its sum was opened: before or after the journal has it."""
    opened = Journal.opened

    def killing(journal: Journal, *arguments) -> None:
        if journal._asked is not None and journal._asked.round == KILLED:
            if journalled:
                opened(journal, *arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        opened(journal, *arguments)

    Journal.opened = killing  # type: ignore[method-assign]
    run(path, protection, strategy, clients(absent_in=KILLED))


@pytest.fixture(scope="module")
def kill(tmp_path_factory):
    """Leaves the folder of a killed run: of each kind one is killed, and whoever wants it is given a copy."""

    @cache
    def killed(*arguments) -> Path:
        path = tmp_path_factory.mktemp("killed") / "run"
        process = get_context("spawn").Process(target=killed_run, args=(path, *arguments))
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
        return path

    return lambda path, *arguments: shutil.copytree(killed(*arguments), path)


@cache
def uninterrupted(strategy: str):
    """Under masks, which give the same bits as any protection."""
    return run(None, "masks", strategy, clients(absent_in=KILLED))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_an_opened_sum_is_applied_and_not_opened_again(tmp_path, kill, protection, strategy):
    whole, expected = uninterrupted(strategy)
    kill(tmp_path / "run", protection, strategy, True)
    weights, history = run(tmp_path / "run", protection, strategy, clients(None), resume=True)
    assert weights == whole
    assert [record.clients_ok for record in history.rounds] == [COUNT, COUNT - 1, COUNT, COUNT]
    assert list(history.rounds[KILLED - 1].lost) == [3]
    assert [record.train_loss for record in history.rounds] == [record.train_loss for record in expected.rounds]


@pytest.mark.parametrize("protection", ["paillier", pytest.param("threshold", marks=pytest.mark.slow)])
def test_a_sum_that_was_asked_for_and_not_kept_is_asked_for_again_with_the_same_clients(tmp_path, kill, protection):
    whole, _ = uninterrupted("fedavg")
    kill(tmp_path / "run", protection, "fedavg", False)
    weights, history = run(tmp_path / "run", protection, "fedavg", clients(None), resume=True)
    assert [record.clients_ok for record in history.rounds] == [COUNT, COUNT - 1, COUNT, COUNT]
    assert weights == whole


@pytest.mark.parametrize("protection", ["paillier", pytest.param("threshold", marks=pytest.mark.slow)])
def test_where_one_of_these_clients_is_gone_the_round_is_void(tmp_path, kill, protection):
    kill(tmp_path / "run", protection, "fedavg", False)
    own = clients(None)
    own[1] = Client("client-1", FailingBags(OSError("gone")))
    _, history = run(tmp_path / "run", protection, "fedavg", own, resume=True)
    assert "only for the same clients" in (history.rounds[KILLED - 1].void or "")


def test_masks_that_were_asked_for_are_not_taken_off_a_second_time(tmp_path, kill):
    kill(tmp_path / "run", "private masks", "fedavg", False)
    _, history = run(tmp_path / "run", "private masks", "fedavg", clients(None), resume=True)
    assert [record.void is None for record in history.rounds] == [True, False, True, True]
    assert "not opened a second time" in (history.rounds[KILLED - 1].void or "")
    assert history.rounds[KILLED - 1].attempts == 1
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoint", tmp_path / "run" / "metrics.jsonl")
    checkpoints.open()
    assert checkpoints.newest().state["privacy.opened"].tolist() == [4, 4, 4, 3, 4, 4]  # paid for, and as a sum


def test_no_round_stands_twice_in_what_the_aggregator_saw(tmp_path, kill):
    kill(tmp_path / "run", "paillier", "fedavg", True)
    run(tmp_path / "run", "paillier", "fedavg", clients(None), resume=True)
    seen = PartyView.load(tmp_path / "run").bodies(Opened)
    assert [message.step.round for message, _ in seen] == [*range(1, ROUNDS + 1)]


def forgetful(path: Path) -> None:
    """The aggregator throws journal and checkpoints away."""
    (path / "checkpoint" / "opened.journal").unlink()
    for checkpoint in (path / "checkpoint").glob("round-*"):
        checkpoint.unlink()


@pytest.mark.parametrize("protection", ["paillier", pytest.param("threshold", marks=pytest.mark.slow)])
def test_an_aggregator_that_forgets_what_was_opened_is_refused_by_openers(tmp_path, kill, protection):
    kill(tmp_path / "run", protection, "fedavg", True)
    forgetful(tmp_path / "run")
    _, history = run(tmp_path / "run", protection, "fedavg", clients(None), resume=True)
    assert history.rounds[0].void
    assert history.rounds[1].void
    assert "opened before" in history.rounds[0].void


def test_an_aggregator_that_forgets_whose_masks_came_off_is_refused_by_clients(tmp_path, kill):
    kill(tmp_path / "run", "masks", "fedavg", True)
    forgetful(tmp_path / "run")
    with pytest.raises(BadInput, match="client-0: refused its task"):
        run(tmp_path / "run", "masks", "fedavg", clients(None), resume=True)
    assert "takes no part in it again" in (tmp_path / "run" / "clients.log").read_text()


def test_a_sum_of_another_model_is_not_applied(tmp_path, kill):
    path = tmp_path / "run"
    kill(path, "paillier", "fedavg", True)
    for checkpoint in (path / "checkpoint").glob("round-*"):
        checkpoint.unlink()
    journal = Journal(path / "checkpoint" / "opened.journal")
    journal.open()
    journal.forget(1)
    _, history = run(path, "paillier", "fedavg", clients(None), resume=True)
    assert history.rounds[0].void
    assert "another model" in (history.rounds[KILLED - 1].void or "")


def test_a_last_entry_that_is_not_whole_was_never_acted_on(tmp_path, kill):
    whole, _ = uninterrupted("fedavg")
    kill(tmp_path / "run", "paillier", "fedavg", True)
    journal = tmp_path / "run" / "checkpoint" / "opened.journal"
    journal.write_bytes(journal.read_bytes() + b"\x40\0\0\0half")
    weights, _ = run(tmp_path / "run", "paillier", "fedavg", clients(None), resume=True)
    assert weights == whole


def test_a_damaged_memory_of_an_opener_is_said(tmp_path, kill):
    kill(tmp_path / "run", "paillier", "fedavg", True)
    (memory,) = (tmp_path / "run" / "checkpoint" / "openers").iterdir()
    assert memory.stat().st_mode & 0o777 == 0o600
    memory.write_bytes(b'{"round": "what"}\n')
    with pytest.raises(CryptoKeyError, match="memory of what it opened, is damaged"):
        run(tmp_path / "run", "paillier", "fedavg", clients(None), resume=True)
