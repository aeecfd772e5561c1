"""Runs that are really killed between the ledger's row and the opening, or between the opening and its journal."""

from __future__ import annotations

import os
import signal
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

import pytest

from aggregator import Aggregator, RunFolder
from aggregator.journal import Journal
from clients import InlinePool
from fedlearn.privacy import Privacy
from fedlearn.privacy.ledger import Ledger
from fedlearn.protocol import Opened
from fedlearn.protocol.transcript import PartyView
from fedlearn.secure import Masks
from tests.toys import toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

PROTECTIONS = {"none": toy_plain, "paillier": toy_paillier, "masks": lambda: Masks(toy_codec())}
ROUNDS = 6


def run(path: Path, protection: str, resume: bool = True):
    folder = RunFolder(path, {"seed": 5}, {"name": "toy"}, record=protection != "none", resume=resume)
    asked = Privacy(noise=2, clip=0.3, honest=1)
    aggregator = Aggregator(
        toy_model(), toy_strategy(), PROTECTIONS[protection](), seed=5, folder=folder, privacy=asked
    )
    return aggregator.fit(InlinePool(toy_clients(5)), ROUNDS)


def killed(path: Path, protection: str, resume: bool, after_opening: bool) -> None:
    """Ends by SIGKILL in the first round that it runs."""

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    if after_opening:
        Journal.opened = die  # type: ignore[method-assign]
    else:
        charge = Ledger.charge
        Ledger.charge = lambda ledger, row: (charge(ledger, row), die())  # type: ignore[method-assign]
    run(path, protection, resume)


def kill(*arguments) -> None:
    process = get_context("spawn").Process(target=killed, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def check(path: Path, protection: str, kills: int) -> None:
    moments = [protection == "paillier" and number % 2 == 1 for number in range(kills)]
    for number, after_opening in enumerate(moments):
        kill(path, protection, number > 0, after_opening)
    rows = Counter(row.round for row in Ledger.load(path / "privacy.ledger").rows)
    assert sum(rows.values()) == kills  # each was charged before it could be read
    history = run(path, protection)
    ledger = Ledger.load(path / "privacy.ledger").rows
    rows = Counter(row.round for row in ledger)
    if protection != "none":
        opened = Counter(message.step.round for message, _ in PartyView.load(path).bodies(Opened))
        assert all(opened[round] <= rows[round] for round in opened)
    assert [record.void for record in history.rounds[kills:]] == [None] * (ROUNDS - min(kills, ROUNDS))
    assert history.privacy["sums"] == len(ledger) >= ROUNDS
    once = Aggregator(toy_model(), toy_strategy(), toy_plain(), privacy=Privacy(noise=2, clip=0.3))
    assert history.rounds[-1].epsilon > once.fit(toy_clients(5), ROUNDS).rounds[-1].epsilon


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_no_round_is_opened_twice_uncharged(tmp_path, protection):
    check(tmp_path / "run", protection, kills=2)
