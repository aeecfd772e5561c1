"""Clients in Ray actors, on this machine or on the nodes of a cluster.

Each actor is sent its share of the clients once, through the object store, and a step's broadcast is put there once
for all of them; answers come back some milliseconds of work at a time, with the log records made on the way. Which
actor or node a client lives in changes nothing: its randomness is derived from the seed, the round and its own number.

Under Ray parties are separated by actors only: whoever may submit work to the cluster can read any of them. What
clients sign with leaves their worker for one other place, a keeper actor on this machine, so that it survives the loss
of a node; this process starts the keeper and asks it nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from clients.client import ClientSource
from clients.placement import packed_plan
from clients.policy import Policy
from clients.ray_actors import Keeper, RayWorker
from clients.ray_cluster import Connection, check_address, how, least_taken, on_node
from clients.session import too_late
from clients.shared import SharedOut
from clients.turns import made_by
from fedlearn.channel import SLICE, Deadline
from fedlearn.errors import BadInput, FedlearnError, PoolFailure
from fedlearn.logs import deliver, mark_records
from fedlearn.protocol import Answer, Lost, Step
from fedlearn.travel import packed

log = logging.getLogger(__name__)

Call = Callable[[int], Any]  # has a worker do something, by its number; gives a reference to its answer
PLACINGS = 3  # of one worker, where the nodes chosen for it turn out to be dead


class _Fault(Exception):
    """What a worker did that costs its clients the round."""


class RayPool(SharedOut):
    """Spreads clients over actors, client i to actor i modulo `workers`, the actors over the live nodes.

    address: HOST:PORT of the cluster's head, where this machine is one of the nodes; without one Ray is started here
    and ended with the pool. A program that has called `ray.init` itself keeps its Ray, and the pool uses that.
    policy: what plans the clients follow; by default any that is what it says.

    An actor that dies, alone or with its node, is replaced on a live one; its unfinished clients are reported lost
    "again", so that the aggregator can start a new attempt with the same cohort. One that says nothing for `deadline`
    seconds is ended and replaced too, also before the first round; and one that cannot be got ready, nor can its
    successor, is lost with its clients, unless it was the last: as in `ProcessPool`.
    """

    def __init__(
        self,
        clients: ClientSource,
        workers: int = 2,
        address: str | None = None,
        policy: Policy | None = None,
        deadline: float | None = None,
    ):
        super().__init__(clients, workers, policy, deadline)
        if find_spec("ray") is None:
            raise BadInput("pool ray needs Ray: pip install 'fedlearn[ray]'")
        if address is not None:
            check_address(address)
        self._address = address
        self._workers: list[_Actor] = []
        self._connection: Connection | None = None
        self._keeper: Any = None
        self._calls: list[Call] = []  # what whoever takes a worker's place is told

    @property
    def process_ids(self) -> list[int]:
        """Of the live workers, in order, each on its node."""
        return [worker.process_id for worker in self._workers]

    def open(self) -> None:
        import ray

        mark_records()
        shares, numbers = self._shares, range(self._shares.workers)
        self._connection = Connection(self._address, shares.workers)
        whole = None if shares.divisible else ray.put(packed((shares.clients, self._policy)))
        self._data = [whole or ray.put(packed((shares.sent_to(number), self._policy))) for number in numbers]
        for number in numbers:
            self._workers.append(self._place(number))
        for number in numbers:
            self._await(number)

    def _place(self, number: int, but: str | None = None) -> _Actor:
        """Start a worker on the node with the fewest for its processors, if possible another one than `but`."""
        taken = Counter(worker.node for worker in self._workers)
        node = least_taken(taken, but)
        level = logging.getLogger().getEffectiveLevel()
        return _Actor(number, node, on_node(RayWorker, node, soft=True).remote(number, self._data[number], level))

    def _await(self, number: int) -> bool:
        """Wait until a worker has its clients' data; one that ends or says nothing until then is placed anew.

        False where it is lost: so it went several times.
        """
        from ray.exceptions import RayError

        for _ in range(PLACINGS):
            worker = self._workers[number]
            try:
                worker.node, worker.process_id = self._in_time(worker.handle.where.remote())
                return True
            except (RayError, TimeoutError) as error:
                reason = how(error)
                self._kill(worker)
                self._workers[number] = self._place(number, but=worker.node)
        self._lose(number, reason)
        return False

    def _lose(self, number: int, reason: str) -> None:
        worker = self._workers[number]
        self._kill(worker)
        self._give_up(number, f"{worker.name} ended before it was ready: {reason}")

    def _received(self, reference: Any) -> Any:
        """A worker's answer, its log records delivered; raises the `FedlearnError` that it raised."""
        import ray
        from ray.exceptions import RayTaskError

        try:
            value, records = ray.get(reference)
        except RayTaskError as error:
            if isinstance(error.cause, FedlearnError):
                raise error.cause from None
            kind = type(error.cause).__name__  # its text may be of the clients' own
            raise FedlearnError(f"a worker failed ({kind}): its traceback is in Ray's own logs") from None
        for record in records:
            deliver(record)
        return value

    def _in_time(self, reference: Any) -> Any:
        """The same from one that is waited for no longer than others are; raises `TimeoutError`."""
        import ray

        waited, limit = 0.0, max(Deadline.LEAST, self._deadline.seconds)
        while waited < limit:
            began = time.monotonic()
            if ray.wait([reference], timeout=SLICE)[0]:
                return self._received(reference)
            waited += min(SLICE, time.monotonic() - began)
        raise TimeoutError(f"it said nothing for {limit:.0f} s")

    def _all(self, call: Call) -> dict[int, Any]:
        """By worker, its answer to a call that concerns all of its clients; of those that are not lost."""
        from ray.exceptions import RayError

        answers = {}
        for number, reference in [(number, call(number)) for number in self._left()]:
            try:
                answers[number] = self._in_time(reference)
            except (RayError, TimeoutError):
                answers |= self._renew(number, call)
        return answers

    def _have_done(self, call: Call) -> None:
        """Have all workers do what those that take a worker's place do too."""
        self._all(call)
        self._calls.append(call)

    def _renew(self, number: int, *calls: Call) -> dict[int, Any]:
        """Put a new worker in the place of one that is gone, and tell it what that was told and these calls.

        By its number, its answer to the last of them; nothing where it is lost too.
        """
        from ray.exceptions import RayError

        gone, answer = self._workers[number], None
        self._kill(gone)  # which may still live
        self._workers[number] = self._place(number, but=gone.node)
        if not self._await(number):
            return {}
        try:
            for call in (*self._calls, *calls):
                answer = self._in_time(call(number))
        except (RayError, TimeoutError) as error:
            self._lose(number, how(error))
            return {}
        return {number: answer}

    def enrol(self, session: bytes) -> list[bytes]:
        import ray

        made_by("open", self._connection)
        here = ray.get_runtime_context().get_node_id()
        self._keeper = on_node(Keeper, here, soft=False).remote()
        enrolled = self._all(
            lambda number: self._workers[number].handle.enrol.remote(
                session, self._shares.numbers(number), self._keeper
            )
        )
        return self._enrolments(enrolled)

    def start(self, plan: bytes, log: Path | None = None) -> None:
        self._begin(plan, log)
        joining = packed_plan(plan), log and log.absolute()
        self._have_done(lambda number: self._workers[number].handle.join.remote(*joining, self._keeper))

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Answer]:
        import ray
        from ray.exceptions import RayError

        session = self._session
        board = ray.put(np.frombuffer(broadcast, np.uint8))
        waiting: dict[Any, tuple[int, set[int]]] = {}
        for number, share in self._shares.split(inboxes).items():
            if number in self._lost:
                yield from (Lost(client, self._lost[number]) for client in share)
            else:
                waiting[self._workers[number].handle.exchange.remote(step, board, share)] = number, set(share)
        waited = 0.0  # seconds; a slice of it counts for no more than that, as where this process stood still
        heard = dict.fromkeys(waiting, waited)
        while waiting:
            began = time.monotonic()
            ready = ray.wait(list(waiting), num_returns=1, timeout=SLICE)[0]
            waited += min(SLICE, time.monotonic() - began)
            stream = ready[0] if ready else min(waiting, key=heard.__getitem__)
            limit = self._deadline.seconds
            if not ready and waited - heard[stream] < limit:
                continue
            number, unfinished = waiting[stream]
            try:
                if not ready:
                    raise TimeoutError(f"it said nothing for {limit:.0f} s")
                answers = self._answered(stream, unfinished)
            except (RayError, TimeoutError) as error:
                gone = self._gone_with(number) if ready else [number]
                for ended in [each for each in waiting if waiting[each][0] in gone]:
                    unfinished |= waiting.pop(ended)[1]
                replaced = self._replace(gone, unfinished, how(error))
                yield from replaced if ready else (too_late(session, step, lost.client) for lost in replaced)
                continue
            except _Fault as fault:
                del waiting[stream]
                yield from self._replace([number], unfinished, str(fault), again=False)
                continue
            self._deadline.note(waited - heard[stream])
            for answer in answers:
                unfinished.difference_update(answer.clients)
                yield answer
            heard[stream] = waited
            if not unfinished:
                del waiting[stream]

    def _answered(self, stream: Any, unfinished: set[int]) -> list[Answer]:
        """A worker's next answers; raises `_Fault` where they are not those of clients that have not answered yet."""
        reference = next(stream, None)
        try:
            answers: list[Answer] = self._received(reference) if reference else []
        except PoolFailure:
            raise
        except FedlearnError as error:
            raise _Fault(f"it raised {type(error).__name__}: Ray's own logs have its traceback") from None
        if not reference or not all(unfinished.issuperset(answer.clients) for answer in answers):
            raise _Fault("it answered what nobody asked, or twice, or not for all")  # else it could do so for ever
        return answers

    def _gone_with(self, number: int) -> list[int]:
        """The workers that are given up with this one: on another machine all of its node.

        Of a node that vanishes, workers end one by one, and nobody knows at once that it has: each that was found out
        later would cost another attempt.
        """
        import ray

        node = self._workers[number].node
        if node == ray.get_runtime_context().get_node_id():
            return [number]
        return [other for other, worker in enumerate(self._workers) if worker.node == node]

    def _replace(self, gone: list[int], unfinished: set[int], fault: str, again: bool = True) -> list[Lost]:
        """Put new workers in the place of those that are gone and report the clients they had not finished."""
        dead = self._workers[gone[0]]
        names = ", ".join(f"{self._workers[number].name} (pid {self._workers[number].process_id})" for number in gone)
        reason = f"{names} on node {dead.node[:8]} ended: {fault}"
        log.warning("%s; its clients go to a new worker", reason)
        for number in gone:
            self._renew(number)
        return [Lost(client, reason, again) for client in sorted(unfinished)]

    def _kill(self, worker: _Actor) -> None:
        """End a worker; on this machine its process too, since one that is stopped hears nothing of Ray's."""
        import ray

        ray.kill(worker.handle)
        if worker.process_id and worker.node == ray.get_runtime_context().get_node_id():
            with suppress(ProcessLookupError):
                os.kill(worker.process_id, signal.SIGKILL)

    def remember(self, folder: Path, round: int, counted: Sequence[int] = ()) -> None:
        kept = folder.absolute()
        self._rewind(kept, round, counted)
        self._have_done(lambda number: self._workers[number].handle.remember.remote(kept))

    def close(self) -> None:
        self._cleanup.close()
        if self._connection is not None:
            keepers = [self._keeper] if self._keeper else []
            self._connection.close([*(worker.handle for worker in self._workers), *keepers])
        self._workers, self._data, self._connection, self._keeper = [], [], None, None
        self._lost, self._calls = {}, []
        self._started = self._memory = None


class _Actor:
    """The pool's end of one worker: its handle, and where it lives, as far as known."""

    def __init__(self, number: int, node: str, handle: Any):
        self.name = f"worker {number}"
        self.node = node
        self.process_id = 0
        self.handle = handle
