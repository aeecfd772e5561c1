"""All clients in the aggregator's own process: parties are separated by messages only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from clients.batches import warn_of_lone_examples
from clients.client import ClientSource, as_clients
from clients.memory import ClientMemory
from clients.ownlog import private_records_in
from clients.policy import Policy
from clients.rounding import Rounding
from clients.session import LocalSession
from clients.turns import made_by
from fedlearn.logs import mark_records
from fedlearn.numerics import one_thread
from fedlearn.protocol import Answer, Step


def as_pool(clients: Any) -> InlinePool:
    """The pool for clients that are given without one; raises `BadInput` as `as_clients` does."""
    return InlinePool(clients)


class InlinePool:
    """The simplest pool, and for small models the fastest. One BLAS thread, as in every pool.

    policy: what plans the clients follow; by default any that is what it says. rounding: a file for how far the mean of
    each round is from what it would be without rounding, which nobody knows but who simulates all clients.
    """

    def __init__(self, clients: ClientSource, policy: Policy | None = None, rounding: Path | None = None):
        self._clients = as_clients(clients)
        self._policy = policy
        self._rounding = None if rounding is None else Rounding(Path(rounding))
        self._blas: Any = None
        self._session: LocalSession | None = None
        self._started = False
        self._memory: ClientMemory | None = None
        self._cleanup = ExitStack()

    def __len__(self) -> int:
        return len(self._clients)

    def open(self) -> None:
        mark_records()
        self._blas = one_thread()
        self._session = LocalSession(self._clients, policy=self._policy)

    def enrol(self, session: bytes) -> list[bytes]:
        return made_by("open", self._session).enrol(session, range(len(self._clients)))

    def start(self, plan: bytes, log: Path | None = None) -> None:
        session = made_by("open", self._session)
        self._cleanup.enter_context(private_records_in(log))
        session.join(plan)
        self._started = True
        if self._rounding is not None:
            session.measure(self._rounding)
            self._cleanup.callback(self._rounding.flush)
        warn_of_lone_examples(plan, self._clients)

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Answer]:
        yield from self._in_session().exchange(step, broadcast, inboxes)

    def remember(self, folder: Path, round: int, counted: Sequence[int] = ()) -> None:
        session = self._in_session()
        self._memory = ClientMemory(folder)
        self._memory.rewind(round, counted)
        session.remember(folder)

    def settle(self, notice: bytes, clients: Sequence[int], rounds: Sequence[int]) -> None:
        made_by("remember", self._memory).settle(notice, clients, rounds)

    def _in_session(self) -> LocalSession:
        return made_by("start", self._session if self._started else None)

    def close(self) -> None:
        self._session, self._started, self._memory = None, False, None
        self._cleanup.close()
        if self._blas is not None:
            self._blas.restore_original_limits()
