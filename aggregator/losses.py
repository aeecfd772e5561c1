"""Clients that are lost under a protection: what they let the aggregator know, and where their own side says more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from fedlearn.errors import FedlearnError
from fedlearn.protocol import ClientId, Loss, Lost

log = logging.getLogger(__name__)
E = TypeVar("E", bound=FedlearnError)
SAID = {Loss.REFUSED: "refused its task", Loss.FAILED: "failed at its task"}


def loss_of(client: ClientId, loss: Loss) -> Lost:
    """The record of a client that says no more than a code."""
    failed = loss.code == Loss.FAILED
    return Lost(client, SAID[loss.code], refused=not failed, trace="" if failed else None)


class ClientsLog:
    """The file in which clients say what only they may know: named here, never read. None where no file is kept."""

    def __init__(self, path: Path | None):
        self.path = path
        self._named = False

    @property
    def where(self) -> str:
        """Where to look, as the end of a sentence."""
        if self.path is None:
            return "only the processes that they live in have said why"
        return f"their side says why in {self.path}, which in a real deployment would stay with them"

    def name_once(self, round: int, lost: Iterable[Lost]) -> None:
        """Have the run's log say where it is, in the first round that goes on without such a client."""
        if not self._named and any(loss.reason in SAID.values() for loss in lost):
            self._named = True
            log.warning("round %d lost clients: %s", round, self.where, extra={"clients_log": self.path})

    def named(self, message: str, kind: Callable[[str], E]) -> E:
        """The error that ends a run, with where to look."""
        error = kind(f"{message}; {self.where}")
        error.clients_log = self.path
        return error
