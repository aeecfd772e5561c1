"""Clients in Ray actors: the bits of the inline pool, whatever dies on the way, and nothing left running."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool, RayPool, ray_cluster
from clients.ray_actors import RayWorker
from fedlearn.errors import BadInput, CodecError, FedlearnError
from fedlearn.protocol import Lost, Reply, Step
from fedlearn.secure import Masks
from fedlearn.strategies import STRATEGIES
from fedlearn.travel import packed
from tests.aggregator.test_scale import Crowd
from tests.aggregator.test_scale import fit as fit_crowd
from tests.clients.test_pools import KillsItsWorker, exchange, started
from tests.scenarios.command import fedlearn
from tests.toys import FailingBags, toy_bags, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

ray = pytest.importorskip("ray")
Cluster = pytest.importorskip("ray.cluster_utils").Cluster
pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]  # on a slow or busy machine Ray takes minutes to start
QUICK = {"health_check_initial_delay_ms": 3000, "health_check_period_ms": 500}  # to see that a node is gone


@pytest.fixture(scope="module", autouse=True)
def _ray_ends():
    yield
    ray.shutdown()


@pytest.fixture
def _own_ray():
    """Ray as a program has it that has started it itself: the tests share one."""
    if not ray.is_initialized():
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


@pytest.fixture
def make_pool(_own_ray):
    pools = []

    def make(clients, workers=2):
        pools.append(RayPool(clients, workers))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def train(pool, protection, **more):
    return Aggregator(toy_model(), toy_strategy(), protection, seed=5, **more).fit(pool, 3)


PROTECTIONS = {"paillier": toy_paillier, "masks": lambda: Masks(toy_codec())}


def crowd_of(pool):
    """Its model and record, of clients that are made when they are sampled and added up where they are trained."""
    _, history = fit_crowd(pool)
    return history.model_sha256, [record.to_dict() | {"seconds": 0} for record in history.rounds]


@pytest.mark.usefixtures("_own_ray")
def test_the_model_and_the_record_are_those_of_the_inline_pool():
    assert crowd_of(RayPool(Crowd(ragged=True), workers=3)) == crowd_of(InlinePool(Crowd(ragged=True)))


def test_faults_of_clients_show_their_traceback_and_name_here(make_pool, caplog):
    clients = [Client("alice", FailingBags(OSError("disk on fire"))), Client("bob", FailingBags(CodecError("3 NaN")))]
    pool = started(make_pool([*clients, Client("sue", toy_bags(7, 2))]))
    with caplog.at_level(logging.INFO):
        answers = exchange(pool, [0, 1, 2])
    assert answers[0] == Lost(0, "OSError: disk on fire")
    assert answers[1] == Lost(1, "3 NaN", refused=True)
    assert isinstance(answers[2], Reply)
    record = next(record for record in caplog.records if "failed in round" in record.getMessage())
    assert (record.client, record.round) == ("alice", "1")
    assert "raise self.error" in caplog.text
    assert "in take" in caplog.text


def test_a_plan_that_cannot_be_followed_fails_at_the_start(make_pool):
    with pytest.raises(BadInput, match="nowhere is named by a file of others"):
        started(make_pool(toy_clients(1)), strategy={"class": "nowhere:NoSuch", "name": "nosuch", "arguments": {}})


def test_a_killed_actor_is_replaced_and_its_clients_are_to_be_tried_again(tmp_path, make_pool):
    healthy = toy_clients(4)
    clients = [healthy[0], Client("client-1", KillsItsWorker(tmp_path / "killed")), healthy[2], healthy[3]]
    pool = started(make_pool(clients))
    before = pool.process_ids
    first = exchange(pool, [0, 1, 2, 3])
    assert all(isinstance(first[client], Reply) for client in (0, 2))
    assert all(first[client].again for client in (1, 3))
    assert pool.process_ids[0] == before[0]
    assert pool.process_ids[1] != before[1]
    second = exchange(pool, [0, 1, 2, 3], Step(1, 1, "update"))
    assert all(isinstance(answer, Reply) for answer in second.values())


@pytest.mark.usefixtures("_own_ray")
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_killed_actor_costs_an_attempt_and_changes_no_bit(protection):
    """Under paillier only signatures of the keys that clients enrolled with are taken: they outlive the actor."""
    expected = train(InlinePool(toy_clients(4)), PROTECTIONS[protection]())
    pool = RayPool(toy_clients(4), workers=2)
    killer = AfterRound(1, lambda: os.kill(pool.process_ids[1], signal.SIGKILL))
    history = train(pool, PROTECTIONS[protection](), trackers=[killer])
    assert [r.attempts for r in history.rounds] == [1, 2, 1]
    assert history.model_sha256 == expected.model_sha256
    assert [r.train_loss for r in history.rounds] == [r.train_loss for r in expected.rounds]


@dataclass
class AfterRound:
    """A tracker that does something after one round."""

    number: int
    act: Callable[[], object]

    def begin(self, rounds, first): ...

    def round(self, record):
        if record.round == self.number:
            self.act()

    def end(self): ...


@pytest.mark.usefixtures("_own_ray")
def test_client_state_is_kept_from_round_to_round(tmp_path):
    found = []
    for number, pool in enumerate((InlinePool(toy_clients(4)), RayPool(toy_clients(4), 2))):
        strategy = STRATEGIES.load("scaffold")(epochs=2, batch_size=4, lr=0.5)
        folder = RunFolder(tmp_path / str(number), {"seed": 5}, {"name": "toy"})
        aggregator = Aggregator(toy_model(), strategy, toy_plain(), seed=5, folder=folder)
        found.append(aggregator.fit(pool, 3).model_sha256)
    assert found[0] == found[1]


@pytest.mark.usefixtures("_own_ray")
def test_of_an_error_that_is_none_of_ours_its_kind_is_told_and_its_text_stays_with_ray():
    pool = RayPool(toy_clients(2), workers=1)
    pool.open()
    try:
        with pytest.raises(
            FedlearnError, match=r"^a worker failed \(AttributeError\): its traceback is in Ray's own logs$"
        ):
            pool._received(pool._workers[0].handle.remember.remote(None))  # no folder
    finally:
        pool.close()


@pytest.mark.usefixtures("_own_ray")
def test_a_node_that_does_not_see_the_folder_of_what_clients_keep_says_so(tmp_path):
    worker = ray.remote(RayWorker).remote(0, packed((toy_clients(1), None)), logging.INFO)
    with pytest.raises(
        BadInput, match=r"a Ray node does not see .*give a run folder on a file system that all nodes share"
    ):
        ray.get(worker.remember.remote(tmp_path / "of another machine"))


@pytest.mark.usefixtures("_own_ray")
def test_an_address_beside_a_programs_own_ray_is_refused():
    pool = RayPool(toy_clients(1), address=ray.get_runtime_context().gcs_address)
    with pytest.raises(BadInput, match="connected to Ray already"):
        pool.open()
    pool.close()


@pytest.mark.usefixtures("_own_ray")
def test_closing_ends_the_actors_and_leaves_a_programs_own_ray_alone():
    pool = started(RayPool(toy_clients(3), workers=2))
    workers = pool.process_ids
    pool.close()
    assert ray.is_initialized()
    while any(Path(f"/proc/{worker}").exists() for worker in workers):  # as long as a test may take
        time.sleep(0.05)


def test_workers_are_at_least_one_and_no_more_than_clients(make_pool):
    with pytest.raises(BadInput, match="workers is 0"):
        RayPool(toy_clients(1), workers=0)
    assert len(started(make_pool(toy_clients(2), workers=8)).process_ids) == 2


def test_the_command_starts_a_ray_of_its_own_says_nothing_of_it_and_ends_it(tmp_path):
    command = [
        sys.executable,
        "-m",
        "scenarios.command.main",
        "run",
        "spam",
        "--protection",
        "none",
        "--rounds",
        "2",
        "--json",
    ]
    command += ["--vocabulary", "hashed:256", "--quiet"]
    shown = []
    for pool in ("inline", "ray"):
        temporary = tmp_path / f"temporary-{pool}"
        temporary.mkdir()
        environment = os.environ | {"TMPDIR": str(temporary)}
        done = subprocess.run(
            [*command, "--pool", pool, "--out", str(tmp_path / pool)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        shown.append((json.loads(done.stdout)["model_sha256"], done.stderr))
        assert not list(temporary.iterdir())
    assert shown[1] == shown[0]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1", "is not HOST:PORT"),
        ("127.0.0.1:port", "is not HOST:PORT"),
        ("127.0.0.1:99999", "no Ray cluster answers"),
        ("{closed}", "no Ray cluster answers"),
        ("{silent}", "no Ray cluster answers"),
        ("{other}", "is no Ray cluster"),
    ],
)
def test_an_address_without_ray_is_refused(address, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_cluster, "PATIENCE", 0.1 if address == "{silent}" else 100.0)
    with socket.socket() as closed, socket.socket() as silent, socket.socket() as other:
        servers = {"closed": closed, "silent": silent, "other": other}
        for server in servers.values():
            server.bind(("127.0.0.1", 0))
        silent.listen()
        other.listen()
        if address == "{other}":
            _answer_as_a_web_server(other)
        ports = {name: server.getsockname()[1] for name, server in servers.items()}
        address = address.format(**{name: f"127.0.0.1:{port}" for name, port in ports.items()})
        assert fedlearn("run", "spam", "--pool", "ray", "--ray-address", address, "--quiet") == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def _answer_as_a_web_server(server: socket.socket) -> None:
    def answer():
        with server.accept()[0] as connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()


def test_an_address_without_the_pool_is_refused(capsys):
    assert fedlearn("run", "spam", "--ray-address", "127.0.0.1:1", "--quiet") == 2
    assert "has no effect with --pool inline" in capsys.readouterr().err
