"""Nodes and workers of Ray that vanish."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from clients import Client, InlinePool, RayPool
from clients.ray_cluster import least_taken, live_nodes
from fedlearn.channel import Deadline
from fedlearn.errors import FedlearnError
from fedlearn.secure import Masks
from tests.adversaries.test_silence_at_any_moment import Deadly
from tests.clients.test_ray import QUICK, Cluster, ray, train
from tests.struck import StruckBefore
from tests.toys import toy_clients, toy_codec, toy_paillier, toy_plain

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]  # on a slow or busy machine Ray takes minutes to start


class KillsItsNode:
    """The first time that it is read on another node than `head`, that node vanishes: its raylet, then this process."""

    def __init__(self, mark: Path, head: str, bags):
        self.mark, self.head, self.bags = mark, head, bags

    def __len__(self):
        return len(self.bags)

    def take(self, order):
        if ray.get_runtime_context().get_node_id() != self.head and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return self.bags.take(order)


def test_a_node_that_vanishes_in_mid_round_changes_no_bit(tmp_path):
    expected = train(InlinePool(toy_clients(4)), toy_paillier())
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": QUICK})
    try:
        cluster.add_node(num_cpus=1)
        mark = tmp_path / "killed"
        clients = [Client(c.name, KillsItsNode(mark, cluster.head_node.node_id, c.data)) for c in toy_clients(4)]
        history = train(RayPool(clients, workers=4, address=cluster.address), toy_paillier())
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert mark.exists()
    assert [r.attempts for r in history.rounds] == [2, 1, 1]
    assert history.model_sha256 == expected.model_sha256


def test_a_worker_is_not_started_again_on_the_node_that_lost_it_where_there_is_another():
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        head, other = cluster.head_node.node_id, cluster.add_node(num_cpus=1).node_id
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        cluster.wait_for_nodes()
        assert least_taken({other: 3}, None) == head
        assert least_taken({other: 3}, head) == other
        cluster.remove_node(cluster.list_all_nodes()[-1])
        while len(live_nodes()) > 1:  # as long as a test may take
            time.sleep(0.05)
        assert least_taken({}, head) == head
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.usefixtures("_own_ray")
def test_a_stopped_worker_costs_its_clients_one_round():
    pool = RayPool(toy_clients(6), workers=2, deadline=8.0)
    seen = []

    def stop(model):
        if not seen:
            os.kill(pool.process_ids[0], signal.SIGSTOP)
        seen.append(pool.process_ids[0])
        return {}

    history = train(pool, toy_plain(), evaluate=stop)
    assert [record.clients_ok for record in history.rounds] == [6, 3, 6]
    assert set(history.rounds[1].lost) == {0, 2, 4}
    assert set(history.rounds[1].lost.values()) == {"came too late"}
    with suppress(FileNotFoundError):  # it hears nothing of Ray's, and is ended all the same
        assert Path(f"/proc/{seen[0]}/stat").read_text().rpartition(") ")[2].startswith("Z")


class StopsBefore(StruckBefore, RayPool):
    def __init__(self, step, number):
        super().__init__(toy_clients(4), workers=2, deadline=5.0)
        self.before, self.number = step, number


@pytest.mark.usefixtures("_own_ray")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("step", ["enrol", "start", "remember"])
def test_a_worker_that_is_gone_before_the_first_round_is_replaced(step, number, monkeypatch):
    monkeypatch.setattr(Deadline, "LEAST", 5.0)
    history = train(StopsBefore(step, number), Masks(toy_codec()))
    assert [(record.clients_ok, record.attempts) for record in history.rounds] == [(4, 1)] * 3


@pytest.mark.usefixtures("_own_ray")
def test_a_client_that_ends_its_worker_before_the_first_round_costs_its_worker():
    clients = toy_clients(4)
    clients[1] = Client("client-1", Deadly())
    history = train(RayPool(clients, workers=4), toy_paillier())
    assert [record.clients_ok for record in history.rounds] == [3, 3, 3]
    assert "ended before it was ready" in history.rounds[0].lost[1]
    with pytest.raises(FedlearnError, match="ended before it was ready"):
        train(RayPool(clients, workers=1), toy_paillier())
