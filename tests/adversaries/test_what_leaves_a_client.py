"""A client that fails under a protection tells the aggregator a code of fixed size, and nothing of its data."""

from __future__ import annotations

import logging
import stat
from dataclasses import dataclass

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool, ProcessPool
from fedlearn.datasets.bags import Bags
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.protocol import Loss, PartyView
from fedlearn.secure import Masks
from fedlearn.strategies import FedAvg
from fedlearn.testing.toys import dense_examples
from tests.toys import (
    FailingBags,
    Normalised,
    toy_bags,
    toy_clients,
    toy_codec,
    toy_model,
    toy_paillier,
    toy_plain,
    toy_strategy,
)

SECRET = "hiv-test-result"
POOLS = {"inline": InlinePool, "processes": ProcessPool}
PROTECTIONS = {"paillier": toy_paillier, "masks": lambda: Masks(toy_codec())}


@dataclass
class Telling:
    """Examples that are written about in a log whenever they are read."""

    bags: Bags

    def __len__(self) -> int:
        return len(self.bags)

    def take(self, order):
        logging.getLogger("a.library").error("just read: %s", SECRET)
        return self.bags.take(order)


def not_a_number(messages: int) -> Bags:
    good = toy_bags(messages, 0)
    return Bags(good.indices, good.offsets, np.full(messages, np.nan, np.float32))


def crowd() -> list[Client]:
    """Eight honest clients, and some whose work ends each in its own way, of which two tell of their data."""
    return [
        *toy_clients(7),
        Client("teller", Telling(toy_bags(6, 9))),
        Client("fails", FailingBags(KeyError(SECRET))),
        Client("refuses", FailingBags(BadInput(f"3 of 7 values, {SECRET}"))),
        Client("typed", FailingBags(FedlearnError(SECRET))),
        Client("counts", not_a_number(9)),
    ]


LOST = {8: "failed at its task", 9: "refused its task", 10: "failed at its task", 11: "refused its task"}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_only_a_code_reaches_the_aggregator_and_its_files(tmp_path, protection, pool):
    folder = RunFolder(tmp_path / "run", {"seed": 5}, {"name": "toy"}, record=True)
    aggregator = Aggregator(toy_model(), toy_strategy(), PROTECTIONS[protection](), seed=5, folder=folder)
    history = aggregator.fit(POOLS[pool](crowd()), 1)
    assert history.rounds[0].lost == LOST
    assert history.rounds[0].clients_ok == 8
    own = folder.path / "clients.log"
    for path in folder.path.rglob("*"):
        if path.is_file() and path != own:
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert b"NaN" not in content, path
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    said = own.read_text()
    for told in (f"KeyError: '{SECRET}'", f"3 of 7 values, {SECRET}", f"just read: {SECRET}", "Traceback", "NaN"):
        assert told in said
    assert str(own) in (folder.path / "run.log").read_text()
    view = PartyView.load(folder.path)
    losses = {message.sender: (body.code, len(message.to_bytes())) for message, body in view.bodies(Loss)}
    assert {client: code for client, (code, _) in losses.items()} == {
        8: Loss.FAILED, 9: Loss.REFUSED, 10: Loss.FAILED, 11: Loss.REFUSED,
    }  # fmt: skip
    assert len({size for _, size in losses.values()}) == 1


def test_without_a_protection_the_reason_is_told():
    """There the aggregator reads every update anyway."""
    history = Aggregator(toy_model(), toy_strategy(), toy_plain(), seed=5).fit(InlinePool(crowd()), 1)
    assert history.rounds[0].lost[8] == f"KeyError: '{SECRET}'"
    assert history.rounds[0].lost[10] == f"FedlearnError: {SECRET}"


@pytest.mark.parametrize("pool", POOLS)
def test_where_all_refuse_the_run_ends_and_their_log_alone_is_left(tmp_path, pool):
    clients = [Client("one", FailingBags(BadInput(f"{i}: {SECRET}"))) for i in range(3)]
    path = tmp_path / "run"
    with pytest.raises(BadInput, match=r"client-0: refused its task.*their side says why in .*clients\.log") as ended:
        Aggregator(toy_model(), toy_strategy(), toy_paillier(), folder=path).fit(POOLS[pool](clients), 2)
    assert SECRET not in str(ended.value)
    assert [file.name for file in path.iterdir()] == ["clients.log"]
    assert (path / "clients.log").read_text().count(SECRET) == 3
    again = Aggregator(toy_model(), toy_strategy(), toy_paillier(), folder=path).fit(POOLS[pool](toy_clients(3)), 1)
    assert again.counted == 1
    assert not (path / "clients.log").exists()


@pytest.mark.parametrize("pool", POOLS)
def test_how_many_examples_a_client_has_is_warned_of_in_its_own_log(tmp_path, pool):
    sizes = (4, 5, 8, 8, 9)
    clients = [Client(f"c{i}", dense_examples(size, i)) for i, size in enumerate(sizes)]
    model = Normalised(rng=np.random.default_rng(0))
    aggregator = Aggregator(model, FedAvg(batch_size=4), toy_paillier(), folder=tmp_path / "run")
    assert sorted(aggregator.fit(POOLS[pool](clients), 1).rounds[0].lost) == [1, 4]
    assert "2 of 5 clients, c1 among them" in (tmp_path / "run/clients.log").read_text()
    assert "among them" not in (tmp_path / "run/run.log").read_text()


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_client_that_refuses_ends_no_run_that_can_do_without_it(protection):
    """It voids the rounds in which each of those sampled is needed, and no others."""
    clients = [*toy_clients(5), Client("refuses", FailingBags(BadInput("no")))]
    aggregator = Aggregator(toy_model(), toy_strategy(), PROTECTIONS[protection](), seed=5, cohort=3)
    history = aggregator.fit(InlinePool(clients), 6)
    voided = [record.void is not None for record in history.rounds]
    assert [list(record.lost) == [5] for record in history.rounds] == voided
    assert any(voided)
    assert not all(voided)
