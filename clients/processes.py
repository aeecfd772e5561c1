"""Clients in real operating-system processes: each worker holds the data of its share of the clients.

Workers are spawned, never forked, so no thread or lock of the parent is copied. Which worker a client lives
in changes nothing: its randomness is derived from the seed, the round and its own number. A step costs a message
to each worker that has clients in it, and one mapping of the broadcast, which lies in memory once for all of them;
answers come back some milliseconds of work at a time, as plain fields (`clients/wire.py`).
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from mmap import ACCESS_READ, mmap
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from threadpoolctl import threadpool_limits

from clients.batches import warn_of_lone_examples
from clients.client import ClientSource
from clients.logs import WorkerLogs, send_records
from clients.memory import ClientMemory
from clients.ownlog import keep_records, private_records_in
from clients.placement import Shares, packed_plan
from clients.policy import Policy
from clients.session import LocalSession, gathered
from clients.vault import FileVault
from clients.wire import read_answers, read_said, write_said
from fedlearn.channel import Arrivals, Channel, Deadline
from fedlearn.children import start_shielded
from fedlearn.errors import FedlearnError, ProtocolError
from fedlearn.logs import mark_records
from fedlearn.protocol import Answer, Lost, Step
from fedlearn.travel import packed, unpacked

log = logging.getLogger(__name__)
PATIENCE = 5.0  # seconds that workers are given to end by themselves
GATHER = 0.005  # seconds of work whose answers a worker sends together


class ProcessPool:
    """Spreads clients over worker processes, client i to worker i modulo `workers`.

    A worker that dies (killed, out of memory) is replaced; its unfinished clients are reported lost "again",
    so that the aggregator can start a new attempt with the same cohort. One that says nothing for `deadline` seconds of
    real time (stopped, or a client in it never ends) is ended and replaced; its unfinished clients are lost for this
    round. By default that is twenty times the longest answer so far, a minute at least. Of a list of clients each
    worker is sent its share, of another source the whole. policy: what plans they follow; by default any that is what
    it says.
    """

    def __init__(
        self,
        clients: ClientSource,
        workers: int = 2,
        policy: Policy | None = None,
        deadline: float | None = None,
    ):
        self._shares = Shares(clients, workers)
        self._policy = policy or Policy()
        self._workers: list[_Worker] = []
        self._deadline = Deadline(deadline)
        self._arrived = Arrivals()
        self._aside: list[tuple[int, bytes | None]] = []  # messages that came while another worker's was waited for
        self._ended: set[_Worker] = set()  # workers that ended while nothing was asked of them
        self._cleanup = ExitStack()

    def __len__(self) -> int:
        return len(self._shares.clients)

    @property
    def process_ids(self) -> list[int]:
        """Of the live workers, in order."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def open(self) -> None:
        mark_records()
        self._memory: ClientMemory | None = None
        self._vault = TemporaryDirectory(prefix="fedlearn-clients-")  # of mode 0700
        self._board = Path(self._vault.name) / "broadcast"
        for number in range(self._shares.workers):
            self._workers.append(self._spawn(number))

    def _spawn(self, number: int) -> _Worker:
        vault = FileVault(Path(self._vault.name) / f"signing-keys-{number}")
        return _Worker(number, packed((self._shares.sent_to(number), self._policy)), vault, self._arrived)

    def enrol(self, session: bytes) -> list[bytes]:
        for number, worker in enumerate(self._workers):
            worker.send("enrol", session, self._shares.numbers(number))
        return [message for messages in self._returned(self._workers) for message in messages]

    def start(self, plan: bytes, log: Path | None = None) -> None:
        self._cleanup.enter_context(private_records_in(log))
        warn_of_lone_examples(plan, self._shares.clients)
        self._joining = packed_plan(plan), log
        self._have_done(self._workers, "join", *self._joining)

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Answer]:
        if broadcast:
            self._pin(broadcast)
        waiting: dict[int, set[int]] = {}  # by worker, its clients that have not answered
        heard: dict[int, float] = {}  # by worker, when it last did anything, by the time that was spent waiting
        for number, share in self._shares.split(inboxes).items():
            if self._workers[number] in self._ended:
                yield from self._replace(number, set(share))
                continue
            waiting[number], heard[number] = set(share), self._arrived.waited
            self._workers[number].send("exchange", step, self._board if broadcast else None, share)
        while waiting:
            limit = self._deadline.seconds
            arrived = self._next(min(heard[number] for number in waiting) + limit)
            number, message = arrived or (-1, None)
            if arrived is None:
                # One at a time: others may answer while it is replaced.
                silent = min(waiting, key=heard.__getitem__)
                yield from self._replace(silent, waiting.pop(silent), f"it said nothing for {limit:.0f} s")
            elif number not in waiting:
                self._ended.add(self._workers[number])
            elif message is None:
                yield from self._replace(number, waiting.pop(number))
            else:
                self._deadline.note(self._arrived.waited - heard[number])
                try:
                    returned = read_answers(message, self._shares.numbers(number))
                except ProtocolError as error:
                    yield from self._replace(number, waiting.pop(number), str(error))
                    continue
                for answer in _value(returned):
                    waiting[number].difference_update(answer.clients)
                    yield answer
                heard[number] = self._arrived.waited
                if not waiting[number]:
                    del waiting[number]

    def _next(self, until: float) -> tuple[int, bytes | None] | None:
        """The next message of any worker, None for its end; None where nothing comes until then."""
        if self._aside:
            return self._aside.pop(0)
        while arrived := self._arrived.get(until):
            channel, message = arrived
            for number, worker in enumerate(self._workers):
                if worker.channel is channel:
                    return number, message
        return None

    def _pin(self, broadcast: bytes) -> None:
        """Put it where every worker can map it; who still reads an earlier one keeps that."""
        beside = self._board.with_suffix(".new")
        beside.write_bytes(broadcast)
        beside.replace(self._board)

    def _have_done(self, workers: Sequence[_Worker], call: str, *arguments: Any) -> None:
        """Have the sessions of all these workers do something, at the same time."""
        for worker in workers:
            worker.send(call, *arguments)
        self._returned(workers)

    def _returned(self, workers: Sequence[_Worker]) -> list[Any]:
        """What their sessions returned from a call that concerns all their clients; raises what they raised."""
        for worker in self._ended.intersection(workers):
            raise FedlearnError(f"{worker.bury()}: start the run again")
        values: dict[int, Any] = {}
        limit = max(Deadline.LEAST, self._deadline.seconds)
        until = self._arrived.waited + limit
        aside, self._aside = self._aside, []
        while len(values) < len(workers):
            arrived = self._next(until)
            if arrived is None:
                silent = next(worker for worker in workers if worker.number not in values)
                raise FedlearnError(f"{silent.process.name} said nothing for {limit:.0f} s: start the run again")
            number, message = arrived
            if self._workers[number] in workers:
                values[number] = self._workers[number].returned(message)
            else:
                aside.append((number, message))
        self._aside = aside
        return [values[worker.number] for worker in workers]

    def _replace(self, number: int, unfinished: set[int], fault: str = "") -> Iterator[Lost]:
        """Put a new worker in the place of a dead one and report the clients it had not finished.

        fault: what it did, for which it is ended; its clients would be lost so again.
        """
        self._ended.discard(self._workers[number])
        reason = self._workers[number].bury(0.0 if fault else PATIENCE) + (f", since {fault}" if fault else "")
        log.warning("%s; a new worker takes over its clients", reason)
        worker = self._workers[number] = self._spawn(number)
        self._have_done([worker], "join", *self._joining)
        if self._memory is not None:
            self._have_done([worker], "remember", self._memory.folder)
        for client in sorted(unfinished):
            yield Lost(client, reason, again=not fault)

    def remember(self, folder: Path, round: int, counted: Sequence[int] = ()) -> None:
        self._memory = ClientMemory(folder)
        self._memory.rewind(round, counted)
        self._have_done(self._workers, "remember", folder)

    def settle(self, notice: bytes, clients: Sequence[int], rounds: Sequence[int]) -> None:
        assert self._memory is not None
        self._memory.settle(notice, clients, rounds)

    def close(self) -> None:
        for worker in self._workers:
            worker.channel.close()
        end = time.monotonic() + PATIENCE
        for worker in self._workers:
            worker.bury(max(0.0, end - time.monotonic()))
        self._workers, self._aside, self._ended, self._arrived = [], [], set(), Arrivals()
        self._cleanup.close()
        if hasattr(self, "_vault"):
            self._vault.cleanup()


class _Worker:
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

    def returned(self, message: bytes | None) -> Any:
        """What its session returned from a call that concerns all its clients; raises what it raised."""
        if message is None:
            raise FedlearnError(f"{self.bury()} before it was ready: its error stands above")
        try:
            answer = read_said(message)
        except ProtocolError as error:
            raise FedlearnError(f"{self.process.name} (pid {self.process.pid}) fails: {error}") from None
        return _value(answer)

    def send(self, call: str, *arguments: Any) -> None:
        """Have it do something; what it says, or that it says nothing, comes in by the channel."""
        self.channel.send(bytes(ForkingPickler.dumps((call, arguments))), 0.0)

    def bury(self, patience: float = PATIENCE) -> str:
        """End the process if it has not ended by then, deliver its last log records, and say how it ended."""
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.channel.close()
        self._logs.close()
        code = self.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"{self.process.name} (pid {self.process.pid}) ended by {how}"


def _value(returned: Any) -> Any:
    """What a worker's session returned; raises what it raised."""
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
                connection.send_bytes(write_said(error))


def _done(session: LocalSession, call: str, arguments: tuple[Any, ...]) -> Iterator[Any]:
    """What a call gives: answers as they come, anything else at once."""
    if call == "exchange":
        step, board, inboxes = arguments
        broadcast = _mapped(board) if board else b""
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
