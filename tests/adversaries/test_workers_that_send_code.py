"""A client's code can write to the pipe on which its worker answers; none of it runs in the aggregator's process."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from aggregator import Aggregator
from clients import Client, ProcessPool
from clients.wire import write_said
from fedlearn.datasets.bags import Bags
from fedlearn.errors import CodecError, FedlearnError
from fedlearn.protocol import Lost, Partial, Reply
from tests.toys import toy_bags, toy_clients, toy_model, toy_paillier, toy_strategy


@dataclass
class Code:
    """Makes a folder where it is unpickled."""

    place: Path

    def __reduce__(self):
        return os.mkdir, (self.place,)


@dataclass
class Writes:
    """Examples that write to every pipe of their process when they are read."""

    bags: Bags
    write: Callable[[Connection], None]

    def __len__(self) -> int:
        return len(self.bags)

    def take(self, order):
        for pipe in [thing for thing in gc.get_objects() if isinstance(thing, Connection) and thing.writable]:
            self.write(pipe)
        return self.bags.take(order)


def history_with(write: Callable[[Connection], None]):
    """Of a run whose client 1 writes so; it shares worker 1 with client 3."""
    clients = toy_clients(6)
    clients[1] = Client("writer", Writes(toy_bags(6, 9), write))
    return Aggregator(toy_model(), toy_strategy(), toy_paillier(), seed=5).fit(ProcessPool(clients, workers=2), 1)


def test_what_a_client_pickles_is_not_unpickled(tmp_path):
    place = tmp_path / "made by the client"
    history = history_with(lambda pipe: pipe.send(Code(place)))
    assert not place.exists()
    record = history.rounds[0]
    assert record.clients_ok == 3
    assert set(record.lost) == {1, 3, 5}
    assert "since it sent what is no answer" in record.lost[1]


def test_a_worker_cannot_answer_for_clients_of_another(tmp_path):
    history = history_with(lambda pipe: pipe.send_bytes(write_said([Reply(0, b"in another's name")])))
    record = history.rounds[0]
    assert set(record.lost) == {1, 3, 5}
    assert "since it answered for clients that it does not have" in record.lost[1]


@pytest.mark.parametrize("clients", [(1, 3), ()])
def test_a_worker_does_not_add_up_what_the_plan_has_sent_one_by_one(clients):
    record = history_with(lambda pipe: pipe.send_bytes(write_said([Partial(clients, b"a sum")]))).rounds[0]
    assert {1, 3} <= record.lost.keys()
    assert record.clients_ok == 6 - len(record.lost) >= 3


@pytest.mark.parametrize("data", [b"", b"\x00" * 9, b"\xdd\xff\xff\xff\xff", bytes(range(256))])
def test_nonsense_costs_the_clients_of_that_worker_and_no_second_attempt(data):
    """Who talks nonsense would do so again: a worker that dies costs an attempt, since that may be chance."""
    record = history_with(lambda pipe: pipe.send_bytes(data)).rounds[0]
    assert set(record.lost) == {1, 3, 5}
    assert record.attempts == 1


def error_of(kind: type[Exception]) -> Callable[[Connection], None]:
    return lambda pipe: pipe.send_bytes(write_said(kind("secret words")))


@pytest.mark.parametrize("kind", [CodecError, pytest.param(FedlearnError, marks=pytest.mark.slow)])
def test_an_error_that_a_client_makes_up_costs_its_worker_and_its_text_stays_there(kind):
    history = history_with(error_of(kind))
    assert set(history.rounds[0].lost) == {1, 3, 5}
    assert "since it raised" in history.rounds[0].lost[1]
    assert "secret" not in str(history.rounds)


def for_ever(data: bytes) -> Callable[[Connection], None]:
    def write(pipe: Connection) -> None:
        while True:
            pipe.send_bytes(data)

    return write


TWICE = [[Reply(1, b"one"), Reply(5, b"two")], pytest.param([Lost(1, "a"), Lost(5, "b")], marks=pytest.mark.slow)]


@pytest.mark.parametrize("said", TWICE)
def test_a_client_that_never_stops_talking_costs_its_worker(said):
    """Clients 1, 3 and 5 are one worker's: it answers for two of them again and again, for the third never."""
    history = history_with(for_ever(write_said(said)))
    assert set(history.rounds[0].lost) == {1, 3, 5}
    assert "or twice" in history.rounds[0].lost[3]


class WritesAtOnce(Writes):
    """Writes as soon as a worker unpacks it, before there is any plan."""

    def __setstate__(self, state):
        self.__dict__ = state
        self.take(())


def nonsense(pipe: Connection) -> None:
    pipe.send_bytes(b"nonsense")


def test_nonsense_before_the_first_round_costs_that_worker():
    clients = toy_clients(6)
    clients[1] = Client("writer", WritesAtOnce(toy_bags(6, 9), nonsense))
    history = Aggregator(toy_model(), toy_strategy(), toy_paillier(), seed=5).fit(ProcessPool(clients, workers=2), 1)
    assert set(history.rounds[0].lost) == {1, 3, 5}
    assert "since it sent what is no answer before it was ready" in history.rounds[0].lost[1]
