"""Clients in real operating-system processes: each worker holds the data of its share of the clients.

Workers are spawned, never forked, so no thread or lock of the parent is copied. Which worker a client lives
in changes nothing: its randomness is derived from the seed, the round and its own number. A step costs a message
to each worker that has clients in it, and one mapping of the broadcast, which lies in memory once for all of them;
answers come back some milliseconds of work at a time.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.queues import Queue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from threadpoolctl import threadpool_limits

from clients.client import Client, ClientSource
from clients.logs import WorkerLogs, send_records
from clients.memory import ClientMemory
from clients.session import LocalSession
from fedlearn.children import start_shielded
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.logs import mark_records
from fedlearn.protocol import Answer, Lost, Step

log = logging.getLogger(__name__)
PATIENCE = 2.0  # seconds that a worker is given to end by itself
GATHER = 0.005  # seconds of work whose answers a worker sends together


class ProcessPool:
    """Spreads clients over worker processes, client i to worker i modulo `workers`.

    A worker that dies (killed, out of memory) is replaced; its unfinished clients are reported lost "again",
    so that the aggregator can start a new attempt with the same cohort. Of a list of clients each worker is sent
    its share, of another source the whole.
    """

    def __init__(self, clients: ClientSource, workers: int = 2):
        if workers < 1:
            raise BadInput(f"workers is {workers}, at least 1 is needed: raise it")
        self._clients = clients
        self._size = max(1, min(workers, len(clients)))
        self._workers: list[_Worker] = []
        self._memory: ClientMemory | None = None

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def process_ids(self) -> list[int]:
        """Of the live workers, in order."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def open(self) -> None:
        mark_records()
        self._vault = TemporaryDirectory(prefix="fedlearn-clients-")  # of mode 0700
        self._board = Path(self._vault.name) / "broadcast"
        self._workers = [self._spawn(number) for number in range(self._size)]

    def _spawn(self, number: int) -> _Worker:
        clients = self._clients
        if isinstance(clients, Sequence):
            clients = {client: clients[client] for client in self._numbers(number)}
        return _Worker(number, clients, Path(self._vault.name) / f"signing-keys-{number}")

    def _numbers(self, worker: int) -> range:
        return range(worker, len(self._clients), self._size)

    def enrol(self, session: bytes) -> list[bytes]:
        for number, worker in enumerate(self._workers):
            worker.send(("enrol", (session, self._numbers(number))))
        return [message for worker in self._workers for message in worker.returned()]

    def start(self, plan: bytes) -> None:
        self._plan = plan
        for worker in self._workers:
            worker.send(("join", (plan,)))
        for worker in self._workers:
            worker.returned()

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Answer]:
        if broadcast:
            self._pin(broadcast)
        shares: dict[int, dict[int, bytes]] = {}
        for client, inbox in inboxes.items():
            shares.setdefault(client % self._size, {})[client] = inbox
        waiting: dict[Connection, tuple[int, set[int]]] = {}
        for number, share in shares.items():
            worker = self._workers[number]
            worker.send(("exchange", (step, self._board if broadcast else None, share)))
            waiting[worker.connection] = (number, set(share))
        while waiting:
            for connection in wait(list(waiting)):
                assert isinstance(connection, Connection)
                number, unfinished = waiting[connection]
                try:
                    answers = connection.recv()
                except (EOFError, OSError):
                    del waiting[connection]
                    yield from self._replace(number, unfinished)
                    continue
                for answer in answers:
                    unfinished.difference_update(answer.clients)
                    yield answer
                if not unfinished:
                    del waiting[connection]

    def _pin(self, broadcast: bytes) -> None:
        """Put it where every worker can map it; who still reads an earlier one keeps that."""
        beside = self._board.with_suffix(".new")
        beside.write_bytes(broadcast)
        beside.replace(self._board)

    def _replace(self, number: int, unfinished: set[int]) -> Iterator[Lost]:
        """Put a new worker in the place of a dead one and report the clients it had not finished."""
        reason = self._workers[number].bury()
        log.warning("%s; a new worker takes over its clients", reason)
        self._workers[number] = self._spawn(number)
        self._workers[number].send(("join", (self._plan,)))
        self._workers[number].returned()
        if self._memory is not None:
            self._workers[number].send(("remember", (self._memory.folder,)))
            self._workers[number].returned()
        for client in sorted(unfinished):
            yield Lost(client, reason, again=True)

    def remember(self, folder: Path, round: int) -> None:
        self._memory = ClientMemory(folder)
        self._memory.rewind(round)
        for worker in self._workers:
            worker.send(("remember", (folder,)))
        for worker in self._workers:
            worker.returned()

    def settle(self, notice: bytes, clients: Sequence[int], rounds: Sequence[int]) -> None:
        assert self._memory is not None
        self._memory.settle(notice, clients, rounds)

    def close(self) -> None:
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.bury()
        self._workers = []
        if hasattr(self, "_vault"):
            self._vault.cleanup()


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, number: int, clients: ClientSource | Mapping[int, Client], vault: Path):
        context = get_context("spawn")
        self._logs = WorkerLogs(context, f"worker-{number}-logs")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, self._logs.queue, self._logs.level, clients, vault, number)
        self.process = context.Process(target=_work, args=arguments, name=f"fedlearn-worker-{number}", daemon=True)
        start_shielded(self.process)
        theirs.close()  # so that the worker's death is the end of the pipe

    def returned(self) -> Any:
        """What the worker's session returned from a call that concerns all its clients; raises what it raised."""
        try:
            value = self.connection.recv()
        except (EOFError, OSError):
            raise FedlearnError(f"{self.bury()} before it was ready: its error stands above") from None
        if isinstance(value, FedlearnError):
            raise value
        return value

    def send(self, work: tuple[str, Any]) -> None:
        with suppress(OSError):  # it died since its last answer: the next read says so
            self.connection.send(work)

    def bury(self) -> str:
        """End the process if it has not ended, deliver its last log records, and say how it ended."""
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self._logs.close()
        code = self.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"worker {self.process.name} (pid {self.process.pid}) ended by {how}"


def _work(
    connection: Connection,
    queue: Queue[logging.LogRecord],
    level: int,
    clients: ClientSource | Mapping[int, Client],
    vault: Path,
    number: int,
) -> None:
    """A worker's life: do what the parent says until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threadpool_limits(1)
    send_records(queue, level)
    session = LocalSession(clients, vault, number)
    with suppress(EOFError, OSError):
        while True:
            call, data = connection.recv()
            if call == "exchange":
                _exchange(connection, session, *data)
            else:
                connection.send(_done(getattr(session, call), data))


def _exchange(
    connection: Connection, session: LocalSession, step: Step, board: Path | None, inboxes: Mapping[int, bytes]
) -> None:
    """Send the answers of a step as they come, those of `GATHER` seconds together."""
    ready: list[Answer] = []
    sent = time.perf_counter()
    for answer in session.exchange(step, _mapped(board) if board else b"", inboxes):
        ready.append(answer)
        if time.perf_counter() - sent > GATHER:
            connection.send(ready)
            ready, sent = [], time.perf_counter()
    connection.send(ready)


def _mapped(board: Path) -> bytes:
    """The bytes of a file, read in place."""
    with open(board, "rb") as file:
        return cast(bytes, memoryview(mmap(file.fileno(), 0, access=ACCESS_READ)))


def _done(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return call(*arguments)
    except FedlearnError as error:
        return error
