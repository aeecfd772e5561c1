"""The common part of pools that share their clients out among workers, be these processes or Ray's actors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from clients.batches import warn_of_lone_examples
from clients.client import ClientSource
from clients.memory import ClientMemory
from clients.ownlog import private_records_in
from clients.placement import Shares
from clients.policy import Policy
from clients.turns import made_by
from clients.wire import enrols
from fedlearn.channel import Deadline
from fedlearn.errors import FedlearnError
from fedlearn.protocol import Message

log = logging.getLogger(__name__)


class SharedOut:
    """Knows which worker has which clients, which workers are lost, and what clients keep."""

    def __init__(self, clients: ClientSource, workers: int, policy: Policy | None, deadline: float | None):
        self._deadline = Deadline(deadline)
        self._shares = Shares(clients, workers)
        self._policy = policy or Policy()
        self._lost: dict[int, str] = {}  # by number, how workers ended that cannot be got ready
        self._workers: list[Any] = []
        self._started: bytes | None = None  # the session
        self._memory: ClientMemory | None = None
        self._cleanup = ExitStack()

    def __len__(self) -> int:
        return len(self._shares.clients)

    def wait_at_most(self, seconds: float) -> None:
        """The deadline of a pool that was given none."""
        self._deadline.set(seconds)

    def settle(self, notice: bytes, clients: Sequence[int], rounds: Sequence[int]) -> None:
        made_by("remember", self._memory).settle(notice, clients, rounds)

    @property
    def _session(self) -> bytes:
        return made_by("start", self._started)

    def _left(self) -> list[int]:
        """The numbers of the workers that are not lost."""
        made_by("open", self._workers or None)
        return [number for number in range(self._shares.workers) if number not in self._lost]

    def _give_up(self, number: int, reason: str, see: str = "") -> None:
        """Go on without a worker that cannot be got ready, and its clients; the loss of the last one ends the run."""
        self._lost[number] = reason
        if not self._left():
            raise FedlearnError(f"{reason}, as did the one before it{see}")
        log.warning("%s, as did the one before it: its clients take no part any more", reason)

    def _enrolments(self, said: Mapping[int, Iterable[bytes] | None]) -> list[bytes]:
        """The messages that workers, by number, may pass on when clients enrol: those of their own clients."""
        return [
            message
            for number, messages in sorted(said.items())
            for message in messages or ()
            if enrols(message, self._shares.numbers(number))
        ]

    def _begin(self, plan: bytes, log: Path | None) -> None:
        """Make ready for a session. log: where clients under a protection have their own."""
        made_by("open", self._workers or None)
        self._cleanup.enter_context(private_records_in(log))
        warn_of_lone_examples(plan, self._shares.clients)
        self._started = Message.from_bytes(plan).session

    def _rewind(self, folder: Path, round: int, counted: Sequence[int]) -> None:
        """Take what clients kept in a folder back to a round."""
        made_by("start", self._started)
        self._memory = ClientMemory(folder)
        self._memory.rewind(round, counted)
