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
from tests.toys import toy_bags, toy_clients, toy_codec, toy_model, toy_paillier, toy_strategy


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


def answers(said) -> Callable[[Connection], None]:
    return lambda pipe: pipe.send_bytes(write_said(said))


def bytes_of(data: bytes) -> Callable[[Connection], None]:
    return lambda pipe: pipe.send_bytes(data)


NONSENSE = (b"", b"\x00" * 9, b"\xdd\xff\xff\xff\xff", bytes(range(256)))
MADE_UP = (CodecError, FedlearnError)
WORKERS = 11  # the first is honest, each other has one client that writes, and two more: client i is of i % WORKERS


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("code") / "made by a client"


@pytest.fixture(scope="module")
def writers(place) -> dict[str, Callable[[Connection], None]]:
    """By what they write to the pipe, in the order of their workers from 1."""
    return {
        "code": lambda pipe: pipe.send(Code(place)),
        "for another": answers([Reply(0, b"in another's name")]),
        "a sum": answers([Partial((3, 3 + WORKERS), b"a sum")]),
        "a sum of nobody": answers([Partial((), b"a sum")]),
        **{f"nonsense {data!r}": bytes_of(data) for data in NONSENSE},
        **{kind.__name__: answers(kind("secret words")) for kind in MADE_UP},
    }


@pytest.fixture(scope="module")
def record(writers):
    """Of a round in which each worker but the first has a client that writes to its pipe."""
    clients = toy_clients(3 * WORKERS)
    for number, (name, write) in enumerate(writers.items(), start=1):
        clients[number] = Client(name, Writes(toy_bags(6, 9), write))
    aggregator = Aggregator(toy_model(), toy_strategy(), toy_paillier(codec=toy_codec(3 * WORKERS)), seed=5)
    return aggregator.fit(ProcessPool(clients, workers=WORKERS), 1).rounds[0]


def of_worker(number: int) -> set[int]:
    return {number, number + WORKERS, number + 2 * WORKERS}


def test_each_costs_the_clients_of_its_worker_and_no_second_attempt(record):
    """Who talks nonsense would do so again: a worker that dies costs an attempt, since that may be chance."""
    assert set(record.lost) == set(range(3 * WORKERS)) - of_worker(0)
    assert record.clients_ok == 3
    assert record.attempts == 1


def lost(record, writers, name: str) -> str:
    """The reason by which the client is lost that writes this."""
    return record.lost[[*writers].index(name) + 1]


def test_what_a_client_pickles_is_not_unpickled(record, writers, place):
    assert not place.exists()
    assert "since it sent what is no answer" in lost(record, writers, "code")


def test_nonsense_is_no_answer(record, writers):
    for data in NONSENSE:
        assert "since it sent what is no answer" in lost(record, writers, f"nonsense {data!r}")


def test_a_worker_cannot_answer_for_clients_of_another(record, writers):
    assert "since it answered for clients that it does not have" in lost(record, writers, "for another")


def test_a_worker_does_not_add_up_what_the_plan_has_sent_one_by_one(record, writers):
    assert "added up what the plan has clients send one by one" in lost(record, writers, "a sum")
    assert "since it sent what is no answer" in lost(record, writers, "a sum of nobody")


@pytest.mark.parametrize("kind", MADE_UP)
def test_an_error_that_a_client_makes_up_costs_its_worker_and_its_text_stays_there(record, writers, kind):
    assert "since it raised" in lost(record, writers, kind.__name__)
    assert "secret" not in str(record)


def history_with(writer: Client):
    """Of a run of two workers in which client 1 is this one; it shares worker 1 with clients 3 and 5."""
    clients = toy_clients(6)
    clients[1] = writer
    return Aggregator(toy_model(), toy_strategy(), toy_paillier(), seed=5).fit(ProcessPool(clients, workers=2), 1)


def for_ever(data: bytes) -> Callable[[Connection], None]:
    def write(pipe: Connection) -> None:
        while True:
            pipe.send_bytes(data)

    return write


TWICE = [[Reply(1, b"one"), Reply(5, b"two")], pytest.param([Lost(1, "a"), Lost(5, "b")], marks=pytest.mark.slow)]


@pytest.mark.parametrize("said", TWICE)
def test_a_client_that_never_stops_talking_costs_its_worker(said):
    """Clients 1, 3 and 5 are one worker's: it answers for two of them again and again, for the third never."""
    history = history_with(Client("writer", Writes(toy_bags(6, 9), for_ever(write_said(said)))))
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
    history = history_with(Client("writer", WritesAtOnce(toy_bags(6, 9), nonsense)))
    assert set(history.rounds[0].lost) == {1, 3, 5}
    assert "since it sent what is no answer before it was ready" in history.rounds[0].lost[1]
