"""The content of Ray's actors: some clients of a pool, and a keeper of what they sign with."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import numpy as np
from threadpoolctl import threadpool_limits

from clients.ownlog import keep_records
from clients.session import LocalSession, gathered
from fedlearn.errors import BadInput
from fedlearn.logs import mark_records
from fedlearn.protocol import Answer, Step
from fedlearn.travel import unpacked

T = TypeVar("T")
GATHER = 0.02  # seconds of work whose answers a worker sends together


class RayWorker:
    """The clients of one actor. Every call gives its value and the log records made since the last one.

    clients: packed, with their policy.
    """

    def __init__(self, number: int, clients: bytes, level: int):
        threadpool_limits(1)
        mark_records()
        self._records: SimpleQueue[logging.LogRecord] = SimpleQueue()
        root = logging.getLogger()
        root.handlers = [QueueHandler(self._records)]
        root.setLevel(level)
        self._number = number
        source, policy = unpacked(clients)
        self._session = LocalSession(source, None, number, policy)

    def where(self) -> tuple[tuple[str, int], list[logging.LogRecord]]:
        """Node and process."""
        import ray

        return self._with_records((ray.get_runtime_context().get_node_id(), os.getpid()))

    def enrol(self, session: bytes, numbers: Iterable[int], keeper: Any) -> tuple[list[bytes], list[logging.LogRecord]]:
        self._session.vault = _KeeperVault(keeper, self._number)
        return self._with_records(self._session.enrol(session, numbers))

    def join(self, plan: bytes, log: Path | None, keeper: Any) -> tuple[None, list[logging.LogRecord]]:
        """Agree to the plan. log: where clients under a protection have their own. keeper: None where none signs."""
        if keeper is not None:
            self._session.vault = _KeeperVault(keeper, self._number)
        self._session.join(unpacked(plan))
        if self._session.hides:
            keep_records(log)
        return self._with_records(None)

    def remember(self, folder: Path) -> tuple[None, list[logging.LogRecord]]:
        if not folder.is_dir():
            raise BadInput(
                f"a Ray node does not see {folder}, where clients keep state from round to round: "
                "give a run folder on a file system that all nodes share"
            )
        self._session.remember(folder)
        return self._with_records(None)

    def exchange(
        self, step: Step, board: np.ndarray, inboxes: Mapping[int, bytes]
    ) -> Iterator[tuple[list[Answer], list[logging.LogRecord]]]:
        """The answers to a step as they come, those of `GATHER` seconds together. board: the broadcast, uint8."""
        for answers in gathered(self._session.exchange(step, cast(bytes, board.data), inboxes), GATHER):
            yield self._with_records(answers)

    def _with_records(self, value: T) -> tuple[T, list[logging.LogRecord]]:
        return value, [self._records.get() for _ in range(self._records.qsize())]


class Keeper:
    """The signing keys of clients, by worker: in memory of a process of its own, for whoever replaces a dead worker."""

    def __init__(self) -> None:
        self._kept: dict[int, bytes] = {}

    def keep(self, worker: int, secrets: bytes) -> None:
        self._kept[worker] = secrets

    def kept(self, worker: int) -> bytes:
        return self._kept[worker]


class _KeeperVault:
    """A worker's place in the keeper, a `clients.vault.Vault`."""

    def __init__(self, keeper: Any, worker: int):
        self._keeper = keeper
        self._worker = worker

    def keep(self, secrets: bytes) -> None:
        import ray

        ray.get(self._keeper.keep.remote(self._worker, secrets))

    def kept(self) -> bytes:
        import ray

        return cast(bytes, ray.get(self._keeper.kept.remote(self._worker)))
