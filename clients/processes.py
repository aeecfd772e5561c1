"""Clients in real operating-system processes: each worker holds the data of its share of the clients.

Workers are spawned, never forked, so no thread or lock of the parent is copied. Which worker a client lives
in changes nothing: its randomness is derived from the seed, the round and its own number. A step costs a message
to each worker that has clients in it; a long broadcast lies in memory once for all of them, which map it;
answers come back some milliseconds of work at a time, as plain fields (`clients/wire.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clients.client import ClientSource
from clients.placement import packed_plan
from clients.policy import Policy
from clients.session import too_late
from clients.shared import SharedOut
from clients.vault import FileVault
from clients.wire import read_answers, read_said
from clients.worker import PATIENCE, Worker, value_of
from fedlearn.channel import Arrivals, Deadline
from fedlearn.children import signals_later
from fedlearn.disk import naming
from fedlearn.errors import ProtocolError
from fedlearn.logs import mark_records
from fedlearn.protocol import Answer, Lost, Step
from fedlearn.travel import packed

log = logging.getLogger(__name__)
Arguments = Callable[[int], tuple[Any, ...]]  # of a call, by the worker's number
Calls = list[tuple[str, Arguments]]
SHORT = 1 << 16  # bytes of a broadcast that is sent to each worker; a file takes longer to write and to map


class ProcessPool(SharedOut):
    """Spreads clients over worker processes, client i to worker i modulo `workers`.

    A worker that dies (killed, out of memory) is replaced; its unfinished clients are reported lost "again",
    so that the aggregator can start a new attempt with the same cohort. One that says nothing for `deadline` seconds of
    real time (stopped, or a client in it never ends) is ended and replaced; its unfinished clients are lost for this
    round, as too late. By default that is twenty times the longest answer so far, a minute at least; so it is before
    the first round, too. A worker that cannot be got ready, nor can its successor, is lost and its clients with it,
    unless it was the last. Of a list of clients each worker is sent its share, of another source the whole. policy:
    what plans they follow; by default any that is what it says.
    """

    def __init__(
        self,
        clients: ClientSource,
        workers: int = 2,
        policy: Policy | None = None,
        deadline: float | None = None,
    ):
        super().__init__(clients, workers, policy, deadline)
        self._workers: list[Worker] = []
        self._arrived = Arrivals()
        self._aside: list[tuple[int, bytes | None]] = []  # messages that came while another worker's was waited for
        self._ended: set[Worker] = set()  # workers that ended while nothing was asked of them
        self._calls: Calls = []  # what whoever takes a worker's place is told

    @property
    def process_ids(self) -> list[int]:
        """Of the live workers, in order."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def open(self) -> None:
        mark_records()
        self._vault = TemporaryDirectory(prefix="fedlearn-clients-")  # of mode 0700
        self._board = Path(self._vault.name) / "broadcast"
        for number in range(self._shares.workers):
            self._start_worker(number)

    def _start_worker(self, number: int) -> None:
        """Start the worker of this number, in the place of the one before it if there was one."""
        vault = FileVault(Path(self._vault.name) / f"signing-keys-{number}")
        with signals_later():  # until it stands where `close` finds it
            worker = Worker(number, packed((self._shares.sent_to(number), self._policy)), vault, self._arrived)
            self._workers[number : number + 1] = [worker]

    def enrol(self, session: bytes) -> list[bytes]:
        return self._enrolments(self._all("enrol", lambda number: (session, self._shares.numbers(number))))

    def start(self, plan: bytes, log: Path | None = None) -> None:
        self._begin(plan, log)
        joining = packed_plan(plan), log
        self._have_done("join", lambda number: joining)

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Answer]:
        session, shown = self._session, self._shown(broadcast)
        waiting: dict[int, set[int]] = {}  # by worker, its clients that have not answered
        heard: dict[int, float] = {}  # by worker, when it last did anything, by the time that was spent waiting
        for number, share in self._shares.split(inboxes).items():
            if number in self._lost:
                yield from (Lost(client, self._lost[number]) for client in share)
                continue
            if self._workers[number] in self._ended:
                yield from _lost(share, self._replace(number))
                continue
            waiting[number], heard[number] = set(share), self._arrived.waited
            self._workers[number].send("exchange", step, shown, share)
        while waiting:
            limit = self._deadline.seconds
            arrived = self._next(min(heard[number] for number in waiting) + limit)
            number, message = arrived or (-1, None)
            if arrived is None:
                # One at a time: others may answer while it is replaced.
                silent = min(waiting, key=heard.__getitem__)
                self._replace(silent, f"it said nothing for {limit:.0f} s")
                yield from (too_late(session, step, client) for client in sorted(waiting.pop(silent)))
            elif number not in waiting:
                if message is not None:  # nobody asked: it could go on like this for ever
                    self._workers[number].process.kill()
                self._ended.add(self._workers[number])
            elif message is None:
                yield from _lost(waiting.pop(number), self._replace(number))
            else:
                self._deadline.note(self._arrived.waited - heard[number])
                try:
                    answers = value_of(read_answers(message, self._shares.numbers(number)))
                    if not all(waiting[number].issuperset(answer.clients) for answer in answers):
                        raise ProtocolError("it answered what nobody asked, or twice")  # else it could do so forever
                except ProtocolError as error:
                    yield from _lost(waiting.pop(number), self._replace(number, str(error)), again=False)
                    continue
                for answer in answers:
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

    def _shown(self, broadcast: bytes) -> bytes | Path:
        """As workers are told of it: a short one as it is, a longer one by a file that every worker can map.

        Who still reads an earlier one keeps that.
        """
        if len(broadcast) <= SHORT:
            return broadcast
        beside = self._board.with_suffix(".new")
        with naming(self._board):
            beside.write_bytes(broadcast)
            beside.replace(self._board)
        return self._board

    def _have_done(self, call: str, arguments: Arguments) -> None:
        """Have the sessions of all workers do what those that take a worker's place do too."""
        self._all(call, arguments)
        self._calls.append((call, arguments))

    def _all(self, call: str, arguments: Arguments) -> dict[int, Any]:
        """By worker, what its session returned from a call that concerns all its clients."""
        numbers = self._left()
        for number in numbers:
            if self._workers[number] not in self._ended:
                self._workers[number].send(call, *arguments(number))
        return self._returned(dict.fromkeys(numbers, 1), [*self._calls, (call, arguments)])

    def _returned(self, owed: dict[int, int], calls: Calls) -> dict[int, Any]:
        """By worker, the last of so many answers that it owes; raises what its session raised.

        calls: what a new worker is told in the place of one that ends or says nothing. One whose successor does so too
        is lost, and its clients with it; where none is left that ends the run.
        """
        limit = max(Deadline.LEAST, self._deadline.seconds)  # a new process takes seconds, whatever the deadline is
        until = dict.fromkeys(owed, self._arrived.waited + limit)
        values: dict[int, Any] = {}
        aside, self._aside, renewed = self._aside, [], set()
        while waiting := [number for number in owed if owed[number]]:
            ended = next((number for number in waiting if self._workers[number] in self._ended), None)
            silent = min(waiting, key=until.__getitem__)
            arrived = (ended, None) if ended is not None else self._next(until[silent])
            number, message = arrived or (silent, None)
            if number not in waiting:
                aside.append((number, message))
                continue
            fault = "" if arrived else f"it said nothing for {limit:.0f} s"
            if message is not None:
                try:
                    said = read_said(message)
                except ProtocolError as error:
                    fault = str(error)
                else:
                    values[number] = value_of(said)
                    owed[number] -= 1
                    continue
            reason = self._bury(number, fault)
            if number in renewed:
                self._give_up(number, f"{reason} before it was ready", ": its error stands above")
                del owed[number]
                values.pop(number, None)
                continue
            renewed.add(number)
            self._start_anew(number, calls)
            owed[number], until[number] = len(calls), self._arrived.waited + limit
        self._aside = aside
        return values

    def _bury(self, number: int, fault: str = "") -> str:
        """End a worker; says how it ended, and for which fault, which it is given no time to mend."""
        self._ended.discard(self._workers[number])
        reason = self._workers[number].bury(0.0 if fault else PATIENCE) + (f", since {fault}" if fault else "")
        log.warning("%s; a new worker takes over its clients", reason)
        return reason

    def _start_anew(self, number: int, calls: Calls) -> None:
        """Start a worker in the place of one that ended, and tell it what that was told."""
        self._start_worker(number)
        for call, arguments in calls:
            self._workers[number].send(call, *arguments(number))

    def _replace(self, number: int, fault: str = "") -> str:
        """Put a new worker in the place of one that died, or is ended for a fault; says how it ended."""
        reason = self._bury(number, fault)
        self._start_anew(number, self._calls)
        self._returned({number: len(self._calls)}, self._calls)
        return reason

    def remember(self, folder: Path, round: int, counted: Sequence[int] = ()) -> None:
        self._rewind(folder, round, counted)
        self._have_done("remember", lambda number: (folder,))

    def close(self) -> None:
        for worker in self._workers:
            worker.channel.close()
        end = time.monotonic() + PATIENCE
        for worker in self._workers:
            worker.bury(max(0.0, end - time.monotonic()))
        self._workers, self._aside, self._ended, self._arrived = [], [], set(), Arrivals()
        self._lost, self._calls = {}, []
        self._started = self._memory = None
        self._cleanup.close()
        if hasattr(self, "_vault"):
            self._vault.cleanup()


def _lost(clients: Iterable[int], reason: str, again: bool = True) -> Iterator[Lost]:
    for client in sorted(clients):
        yield Lost(client, reason, again)
