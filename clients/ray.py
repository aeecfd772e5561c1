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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from clients.batches import warn_of_lone_examples
from clients.client import ClientSource
from clients.memory import ClientMemory
from clients.ownlog import private_records_in
from clients.placement import Shares, packed_plan
from clients.policy import Policy
from clients.ray_actors import Keeper, RayWorker
from clients.ray_cluster import Connection, check_address, how, least_taken, on_node
from clients.session import too_late
from fedlearn.channel import SLICE, Deadline
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.logs import mark_records
from fedlearn.protocol import Answer, Lost, Message, Step
from fedlearn.travel import packed

log = logging.getLogger(__name__)

PLACINGS = 3  # of one worker, where the nodes chosen for it turn out to be dead


class RayPool:
    """Spreads clients over actors, client i to actor i modulo `workers`, the actors over the live nodes.

    address: HOST:PORT of the cluster's head, where this machine is one of the nodes; without one Ray is started here
    and ended with the pool. A program that has called `ray.init` itself keeps its Ray, and the pool uses that.
    policy: what plans the clients follow; by default any that is what it says.

    An actor that dies, alone or with its node, is replaced on a live one; its unfinished clients are reported lost
    "again", so that the aggregator can start a new attempt with the same cohort. One that says nothing in a round for
    `deadline` seconds is ended and replaced too, as in `ProcessPool`.
    """

    def __init__(
        self,
        clients: ClientSource,
        workers: int = 2,
        address: str | None = None,
        policy: Policy | None = None,
        deadline: float | None = None,
    ):
        self._deadline = Deadline(deadline)
        self._shares = Shares(clients, workers)
        self._policy = policy or Policy()
        if find_spec("ray") is None:
            raise BadInput("pool ray needs Ray: pip install 'fedlearn[ray]'")
        if address is not None:
            check_address(address)
        self._address = address
        self._workers: list[_Actor] = []
        self._connection: Connection | None = None
        self._keeper: Any = None
        self._cleanup = ExitStack()

    def __len__(self) -> int:
        return len(self._shares.clients)

    @property
    def process_ids(self) -> list[int]:
        """Of the live workers, in order, each on its node."""
        return [worker.process_id for worker in self._workers]

    def open(self) -> None:
        import ray

        mark_records()
        self._memory: ClientMemory | None = None
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

    def _await(self, number: int) -> None:
        """Wait until a worker has its clients' data; one whose node dies under it is placed anew."""
        from ray.exceptions import RayError

        for _ in range(PLACINGS):
            worker = self._workers[number]
            try:
                worker.node, worker.process_id = self._received(worker.handle.where.remote())
                return
            except RayError as error:
                reason = how(error)
                self._workers[number] = self._place(number, but=worker.node)
        raise FedlearnError(f"{worker.name} ended before it was ready, {PLACINGS} times: {reason}")

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
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)
        return value

    def _all(self, calls: Iterable[Any]) -> list[Any]:
        """The answers to calls that every worker has to live through: what is lost in them ends the run."""
        from ray.exceptions import RayError

        try:
            return [self._received(call) for call in calls]
        except RayError as error:
            raise FedlearnError(f"a worker was lost when the run was not ready for that: {how(error)}") from None

    def enrol(self, session: bytes) -> list[bytes]:
        import ray

        here = ray.get_runtime_context().get_node_id()
        self._keeper = on_node(Keeper, here, soft=False).remote()
        calls = [
            worker.handle.enrol.remote(session, self._shares.numbers(number), self._keeper)
            for number, worker in enumerate(self._workers)
        ]
        return [message for messages in self._all(calls) for message in messages]

    def start(self, plan: bytes, log: Path | None = None) -> None:
        self._cleanup.enter_context(private_records_in(log))
        warn_of_lone_examples(plan, self._shares.clients)
        self._session = Message.from_bytes(plan).session
        self._joining = packed_plan(plan), log and log.absolute()
        self._all([worker.handle.join.remote(*self._joining, self._keeper) for worker in self._workers])

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Answer]:
        import ray
        from ray.exceptions import RayError

        board = ray.put(np.frombuffer(broadcast, np.uint8))
        waiting: dict[Any, tuple[int, set[int]]] = {
            self._workers[number].handle.exchange.remote(step, board, share): (number, set(share))
            for number, share in self._shares.split(inboxes).items()
        }
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
                answers = self._received(next(stream))
            except (RayError, TimeoutError) as error:
                gone = self._gone_with(number) if ready else [number]
                for lost in [lost for lost in waiting if waiting[lost][0] in gone]:
                    unfinished |= waiting.pop(lost)[1]
                replaced = self._replace(gone, unfinished, error)
                yield from replaced if ready else (too_late(self._session, step, lost.client) for lost in replaced)
                continue
            self._deadline.note(waited - heard[stream])
            for answer in answers:
                unfinished.difference_update(answer.clients)
                yield answer
            heard[stream] = waited
            if not unfinished:
                del waiting[stream]

    def wait_at_most(self, seconds: float) -> None:
        """The deadline of a pool that was given none."""
        self._deadline.set(seconds)

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

    def _replace(self, gone: list[int], unfinished: set[int], error: Exception) -> list[Lost]:
        """Put new workers in the place of those that are gone and report the clients they had not finished."""
        dead = self._workers[gone[0]]
        names = ", ".join(f"{self._workers[number].name} (pid {self._workers[number].process_id})" for number in gone)
        reason = f"{names} on node {dead.node[:8]} ended: {how(error)}"
        log.warning("%s; its clients go to a new worker", reason)
        for number in gone:
            self._kill(self._workers[number])  # which may still live
            self._workers[number] = self._place(number, but=dead.node)
        for number in gone:
            self._await(number)
        handles = [self._workers[number].handle for number in gone]
        self._all([handle.join.remote(*self._joining, self._keeper) for handle in handles])
        if self._memory is not None:
            self._all([handle.remember.remote(self._memory.folder) for handle in handles])
        return [Lost(client, reason, again=True) for client in sorted(unfinished)]

    def _kill(self, worker: _Actor) -> None:
        """End a worker; on this machine its process too, since one that is stopped hears nothing of Ray's."""
        import ray

        ray.kill(worker.handle)
        if worker.process_id and worker.node == ray.get_runtime_context().get_node_id():
            with suppress(ProcessLookupError):
                os.kill(worker.process_id, signal.SIGKILL)

    def remember(self, folder: Path, round: int, counted: Sequence[int] = ()) -> None:
        self._memory = ClientMemory(folder.absolute())
        self._memory.rewind(round, counted)
        self._all([worker.handle.remember.remote(self._memory.folder) for worker in self._workers])

    def settle(self, notice: bytes, clients: Sequence[int], rounds: Sequence[int]) -> None:
        assert self._memory is not None
        self._memory.settle(notice, clients, rounds)

    def close(self) -> None:
        self._cleanup.close()
        if self._connection is not None:
            self._connection.close([worker.handle for worker in self._workers] + [self._keeper] * bool(self._keeper))
        self._workers, self._data, self._connection, self._keeper = [], [], None, None


class _Actor:
    """The pool's end of one worker: its handle, and where it lives, as far as known."""

    def __init__(self, number: int, node: str, handle: Any):
        self.name = f"worker {number}"
        self.node = node
        self.process_id = 0
        self.handle = handle
