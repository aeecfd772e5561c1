"""A process may stop in any phase, in the middle of a message, or before there is a key; and all of a run at once."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import get_context

import pytest

from aggregator import Aggregator
from clients import Client, ProcessPool
from fedlearn.channel import AHEAD, Arrivals, Channel, Deadline
from fedlearn.errors import FedlearnError
from fedlearn.secure import Masks, Threshold
from tests.struck import StruckBefore
from tests.toys import TOY_BITS, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

COUNT, PATIENCE = 4, 8.0
pytestmark = pytest.mark.slow  # test_silence.py has one of each kind


def train(protection, pool, rounds=2):
    return Aggregator(toy_model(), toy_strategy(), protection, seed=3, deadline=PATIENCE).fit(pool, rounds)


class Stopping(StruckBefore, ProcessPool):
    """Stops one of its workers right before a phase of round 1, or before a step that comes before rounds."""

    def __init__(self, phase, clients=None):
        super().__init__(clients or toy_clients(COUNT), COUNT, deadline=PATIENCE)
        self.before, self.number = phase, signal.SIGSTOP

    def exchange(self, step, broadcast, inboxes):
        if step.round == 1:
            self.strike(step.phase)
        return super().exchange(step, broadcast, inboxes)


@pytest.mark.parametrize("phase", [Masks.training_phase, Masks.reveals])
def test_a_worker_that_stops_in_any_phase_of_masks_is_a_client_that_vanished(phase):
    history = train(Masks(toy_codec()), Stopping(phase))
    assert [(record.void, record.attempts) for record in history.rounds] == [(None, 1)] * 2
    assert set(history.rounds[0].lost) == {1}
    assert history.rounds[1].clients_ok == COUNT


@pytest.mark.parametrize("phase", ["enrol", "start", "remember"])
def test_a_worker_that_stops_before_the_first_round_is_replaced(phase, monkeypatch):
    monkeypatch.setattr(Deadline, "LEAST", PATIENCE)
    history = train(Masks(toy_codec()), Stopping(phase))
    assert [record.clients_ok for record in history.rounds] == [COUNT, COUNT]
    assert not multiprocessing.active_children()


class Deadly:
    """Examples that end whatever process takes them in."""

    def __len__(self):
        return 5

    def take(self, order):
        return self

    def __reduce__(self):
        return os._exit, (3,)


@pytest.mark.parametrize("protection", [toy_plain, toy_paillier])
def test_a_client_that_ends_its_worker_before_the_first_round_costs_its_worker(protection):
    clients = toy_clients(COUNT + 1)
    clients[1] = Client("client-1", Deadly())
    history = train(protection(), ProcessPool(clients, COUNT + 1))
    assert [record.clients_ok for record in history.rounds] == [COUNT, COUNT]
    assert "ended by exit status 3 before it was ready" in history.rounds[1].lost[1]
    with pytest.raises(FedlearnError, match="ended by exit status 3 before it was ready"):
        train(protection(), ProcessPool(clients, 1))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("name", ["dealer", "opener:0"])
def test_whoever_stops_before_there_is_a_key_ends_the_run(name, monkeypatch):
    monkeypatch.setattr(Deadline, "FIRST", 3.0)
    ended = threading.Event()

    def stop_at_once():
        while not ended.wait(0.01):
            for child in multiprocessing.active_children():
                if child.name == name and child.pid:
                    os.kill(child.pid, signal.SIGSTOP)

    watcher = threading.Thread(target=stop_at_once)
    watcher.start()
    try:
        with pytest.raises(FedlearnError, match=rf"{name} had no key after 3 s"):
            train(Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True), toy_clients(COUNT))
    finally:
        ended.set()
        watcher.join()
    assert not multiprocessing.active_children()


def half_a_message(connection) -> None:
    """Says that 1000 bytes come, sends 500 and stops."""
    os.write(connection.fileno(), (1000).to_bytes(4, "big") + bytes(500))
    os.kill(os.getpid(), signal.SIGSTOP)


def test_half_a_message_is_not_waited_for():
    ours, theirs = get_context("spawn").Pipe()
    child = get_context("spawn").Process(target=half_a_message, args=(theirs,), daemon=True)
    child.start()
    theirs.close()
    assert ours.poll(60)  # until it has begun
    arrived = Arrivals()
    channel = Channel(ours, arrived)
    try:
        assert arrived.get(arrived.waited + 0.3) is None
        sent = [channel.send(bytes(10**6), 0.1) for _ in range(20)]  # more than there is room for
        assert sent == sorted(sent, reverse=True)
        assert not sent[-1]
    finally:
        child.kill()
        child.join()
    assert arrived.get(arrived.waited + 60) == (channel, None)
    channel.close()


def test_only_time_spent_waiting_is_silence():
    arrived = Arrivals()
    time.sleep(0.2)
    assert arrived.waited == 0.0
    assert arrived.get(0.3) is None
    assert 0.3 <= arrived.waited < 0.3 + 0.5
    for _ in range(AHEAD):
        arrived.put(None, b"", 0.001)  # type: ignore[arg-type]
    with pytest.raises(queue.Full):
        arrived.put(None, b"", 0.001)  # type: ignore[arg-type]
    assert arrived.get(0.0) is not None  # what is there counts, however late it is looked at


STANDS_STILL = """
import time
from pathlib import Path
from aggregator import Aggregator
from clients import Client, ProcessPool
from tests.toys import toy_clients, toy_model, toy_plain, toy_strategy

class Slow:
    def __init__(self, bags): self.bags = bags
    def __len__(self): return len(self.bags)
    def take(self, order):
        Path({mark!r}).touch()
        time.sleep(1.0)
        return self.bags.take(order)

clients = toy_clients(4)
clients[0] = Client("client-0", Slow(clients[0].data))
aggregator = Aggregator(toy_model(), toy_strategy(), toy_plain(), stack="off")
print("lost", aggregator.fit(ProcessPool(clients, deadline=4.0), 1).rounds[0].lost)
"""


def test_a_run_that_stands_still_as_a_whole_gives_nobody_up(tmp_path):
    """Ctrl-Z, and fg some time later."""
    mark = tmp_path / "mark"
    command = [sys.executable, "-c", STANDS_STILL.format(mark=str(mark))]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while not mark.exists() and run.poll() is None:
            time.sleep(0.02)
        os.killpg(run.pid, signal.SIGSTOP)
        time.sleep(6.0)
        os.killpg(run.pid, signal.SIGCONT)
        assert run.communicate()[0] == "lost {}\n"
    finally:
        run.kill()


class Replaced:
    """Reading it never ends, the first time. A new worker that unpacks it then leaves a mark, and takes its time."""

    def __init__(self, folder, bags):
        self.folder, self.bags = folder, bags

    def __setstate__(self, state):
        self.__dict__ = state
        if (self.folder / "begun").exists():
            (self.folder / "replaced").touch()
            time.sleep(2.0)

    def __len__(self):
        return len(self.bags)

    def take(self, order):
        if not (self.folder / "begun").exists():
            (self.folder / "begun").touch()
            time.sleep(600)
        return self.bags.take(order)


class AnswersThen(Replaced):
    """Reading it takes until the other one is in a new worker, and its own worker is over the deadline, too."""

    def __setstate__(self, state):
        self.__dict__ = state

    def take(self, order):
        while not (self.folder / "replaced").exists():
            time.sleep(0.01)
        return self.bags.take(order)


def test_a_worker_that_answers_while_another_is_replaced_is_heard(tmp_path):
    """Both are over the deadline; what the second says then is neither lost nor taken for its answer to round 2."""
    first, second = toy_clients(2)
    clients = [
        Client(first.name, Replaced(tmp_path, first.data)),
        Client(second.name, AnswersThen(tmp_path, second.data)),
    ]
    pool = ProcessPool(clients, 2, deadline=4.0)
    history = Aggregator(toy_model(), toy_strategy(), toy_plain(), stack="off").fit(pool, 2)
    assert [record.void for record in history.rounds] == [None, None]
    assert [record.clients_ok for record in history.rounds] == [1, 2]
