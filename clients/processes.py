"""Clients in real operating-system processes: each worker holds the data of its share of the clients.

Workers are spawned, never forked, so no thread or lock of the parent is copied. Which worker a client lives
in changes nothing: its randomness is derived from the seed, the round and its own number.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.queues import Queue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from threadpoolctl import threadpool_limits

from clients.client import Client, LocalSession
from clients.logs import WorkerLogs, send_records
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.logs import mark_records
from fedlearn.protocol import Lost, Reply, Step

log = logging.getLogger(__name__)
PATIENCE = 2.0  # seconds that a worker is given to end by itself


class ProcessPool:
    """Spreads clients over worker processes, client i to worker i modulo `workers`.

    A worker that dies (killed, out of memory) is replaced; its unfinished clients are reported lost "again",
    so that the aggregator can start a new attempt with the same cohort.
    """

    def __init__(self, clients: Sequence[Client], workers: int = 2):
        if workers < 1:
            raise BadInput(f"workers is {workers}, at least 1 is needed: raise it")
        self._clients = clients
        self._size = max(1, min(workers, len(clients)))
        self._workers: list[_Worker] = []

    def __len__(self) -> int:
        return len(self._clients)

    def names(self) -> dict[int, str]:
        return {number: client.name for number, client in enumerate(self._clients)}

    @property
    def process_ids(self) -> list[int]:
        """Of the live workers, in order."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def open(self) -> None:
        mark_records()
        self._vault = TemporaryDirectory(prefix="fedlearn-clients-")  # of mode 0700
        self._workers = [self._spawn(number) for number in range(self._size)]

    def _spawn(self, number: int) -> _Worker:
        share = {client: self._clients[client] for client in range(number, len(self._clients), self._size)}
        return _Worker(number, share, Path(self._vault.name) / f"signing-keys-{number}")

    def enrol(self, session: bytes) -> list[bytes]:
        return [message for messages in self._tell("enrol", session) for message in messages]

    def start(self, plan: bytes) -> None:
        self._plan = plan
        self._tell("join", plan)

    def _tell(self, call: str, data: bytes) -> list[Any]:
        """Have every worker's session do something; what each returned."""
        for worker in self._workers:
            worker.send((call, data))
        return [worker.returned() for worker in self._workers]

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Reply | Lost]:
        waiting: dict[Connection, tuple[int, set[int]]] = {}
        for number, worker in enumerate(self._workers):
            share = {client: inbox for client, inbox in inboxes.items() if client % self._size == number}
            if share:
                worker.send(("run", (step, broadcast, share)))
                waiting[worker.connection] = (number, set(share))
        while waiting:
            for connection in wait(list(waiting)):
                assert isinstance(connection, Connection)
                number, unfinished = waiting[connection]
                try:
                    answer = connection.recv()
                except (EOFError, OSError):
                    del waiting[connection]
                    yield from self._replace(number, unfinished)
                    continue
                unfinished.discard(answer.client)
                if not unfinished:
                    del waiting[connection]
                yield answer

    def _replace(self, number: int, unfinished: set[int]) -> Iterator[Lost]:
        """Put a new worker in the place of a dead one and report the clients it had not finished."""
        reason = self._workers[number].bury()
        log.warning("%s; a new worker takes over its clients", reason)
        self._workers[number] = self._spawn(number)
        self._workers[number].send(("join", self._plan))
        self._workers[number].returned()
        for client in sorted(unfinished):
            yield Lost(client, reason, again=True)

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

    def __init__(self, number: int, clients: dict[int, Client], vault: Path):
        context = get_context("spawn")
        self._logs = WorkerLogs(context, f"worker-{number}-logs")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, self._logs.queue, self._logs.level, clients, vault)
        self.process = context.Process(target=_work, args=arguments, name=f"fedlearn-worker-{number}", daemon=True)
        self.process.start()
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
    connection: Connection, queue: Queue[logging.LogRecord], level: int, clients: dict[int, Client], vault: Path
) -> None:
    """A worker's life: do what the parent says until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threadpool_limits(1)
    send_records(queue, level)
    session = LocalSession(clients, vault)
    with suppress(EOFError, OSError):
        while True:
            call, data = connection.recv()
            if call == "run":
                step, broadcast, inboxes = data
                for client, inbox in inboxes.items():
                    connection.send(session.run(client, step, broadcast, inbox))
            else:
                connection.send(_done(getattr(session, call), data))


def _done(call: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return call(data)
    except FedlearnError as error:
        return error
