"""One worker process of a pool: the parent's end of it, and its life."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, cast

from threadpoolctl import threadpool_limits

from clients.logs import WorkerLogs, send_records
from clients.ownlog import keep_records
from clients.session import LocalSession, gathered
from clients.vault import FileVault
from clients.wire import write_said
from fedlearn.channel import Arrivals, Channel
from fedlearn.children import said_of, start_shielded
from fedlearn.errors import FedlearnError
from fedlearn.travel import unpacked

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds that workers are given to end by themselves
GATHER = 0.005  # seconds of work whose answers a worker sends together


class Worker:
    """The parent's end of one worker process. clients: packed, with their policy."""

    def __init__(self, number: int, clients: bytes, vault: FileVault, arrived: Arrivals):
        self.number = number
        context = get_context("spawn")
        self._logs = WorkerLogs(context, f"worker-{number}-logs")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._logs.pipe, self._logs.level, clients, vault, number)
        self.process = context.Process(target=_work, args=arguments, name=f"fedlearn-worker-{number}", daemon=True)
        start_shielded(self.process)
        for end in (theirs, self._logs.pipe):
            end.close()  # so that the worker's death is the end of the pipe
        self.channel = Channel(ours, arrived)

    def send(self, call: str, *arguments: Any) -> None:
        """Have it do something; what it says, or that it says nothing, comes in by the channel."""
        self.channel.send(bytes(ForkingPickler.dumps((call, arguments))), 0.0)

    def bury(self, patience: float = PATIENCE) -> str:
        """End the process if it has not ended by then, deliver its last log records, and say how it ended."""
        how = said_of(self.process, patience)
        self.channel.close()
        self._logs.close()
        return how


def value_of(returned: Any) -> Any:
    """The result of a worker's session; raises what it raised."""
    if isinstance(returned, Exception):
        raise returned
    return returned


def _work(
    connection: Connection,
    records: Connection,
    level: int,
    clients: bytes,
    vault: FileVault,
    number: int,
) -> None:
    """A worker's life: do what the parent says until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threadpool_limits(1)
    send_records(records, level)
    source, policy = unpacked(clients)
    session = LocalSession(source, vault, number, policy)
    with suppress(EOFError, OSError):  # the parent has closed the pipe, or is gone
        while True:
            call, arguments = connection.recv()
            try:
                for value in _done(session, call, arguments):
                    connection.send_bytes(write_said(value))
            except (FedlearnError, OSError) as error:
                if call == "exchange":  # its clients' own log; of what comes before, the pool says it
                    log.error("%s failed: %s: %s", call, type(error).__name__, error)
                connection.send_bytes(write_said(error))


def _done(session: LocalSession, call: str, arguments: tuple[Any, ...]) -> Iterator[Any]:
    """Yield the results of a call: answers as they come, anything else at once."""
    if call == "exchange":
        step, shown, inboxes = arguments
        broadcast = _mapped(shown) if isinstance(shown, Path) else shown
        return gathered(session.exchange(step, broadcast, inboxes), GATHER)
    if call == "join":
        plan, log = arguments
        session.join(unpacked(plan))
        if session.hides:
            keep_records(log)
        return iter([None])
    return iter([getattr(session, call)(*arguments)])


def _mapped(board: Path) -> bytes:
    """The bytes of a file, read in place."""
    with open(board, "rb") as file:
        return cast(bytes, memoryview(mmap(file.fileno(), 0, access=ACCESS_READ)))
