"""Clients that are lost: what they let the aggregator know under a protection, and what becomes of the round."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from aggregator.groups import RoundTask
from fedlearn.errors import BadInput, ClientFailure, FedlearnError, RoundVoid
from fedlearn.logs import alike
from fedlearn.protocol import ClientId, Loss, Lost, party_name
from fedlearn.wording import many

log = logging.getLogger(__name__)
E = TypeVar("E", bound=FedlearnError)
SAID = {Loss.REFUSED: "refused its task", Loss.FAILED: "failed at its task"}
LATE = "came too late"


def loss_of(client: ClientId, loss: Loss) -> Lost:
    """The record of a client that says no more than a code."""
    if loss.code == Loss.LATE:
        return Lost(client, LATE)
    failed = loss.code == Loss.FAILED
    return Lost(client, SAID[loss.code], refused=not failed, trace="" if failed else None)


class ClientsLog:
    """The file in which clients say what only they may know: named here, never read. None where no file is kept."""

    def __init__(self, path: Path | None):
        self.path = path
        self._named = False

    @property
    def where(self) -> str:
        """The place to look, as the end of a sentence."""
        if self.path is None:
            return "only the processes that they live in have said why"
        return f"their side says why in {self.path}, which in a real deployment would stay with them"

    def name_once(self, round: int, lost: Iterable[Lost]) -> None:
        """Have the run's log say where it is, in the first round that goes on without such a client."""
        if not self._named and any(loss.reason in SAID.values() for loss in lost):
            self._named = True
            log.warning("clients were lost in round %d: %s", round, self.where, extra={"clients_log": self.path})

    def named(self, message: str, kind: Callable[[str], E]) -> E:
        """The error that ends a run, with where to look."""
        error = kind(f"{message}; {self.where}")
        error.clients_log = self.path
        return error


def reasons(lost: Mapping[ClientId, Lost]) -> str:
    """Why clients were lost, the first few of them."""
    if not lost:
        return ""
    told: dict[str, str] = {}
    more: Counter[str] = Counter()
    for client, loss in sorted(lost.items()):
        told.setdefault(alike(loss.reason), f"{party_name(client)}: {loss.reason}")
        more[alike(loss.reason)] += 1
    first = [f"{text}{f' ({more[kind] - 1} more alike)' if more[kind] > 1 else ''}" for kind, text in told.items()]
    return f"; lost {len(lost)}: {'; '.join(first[:3])}"


def too_few(
    alive: int, least: int, lost: Mapping[ClientId, Lost], task: RoundTask, clients_log: ClientsLog | None
) -> Exception:
    """End an attempt with so many clients left: the round is void, or the run is over.

    clients_log: where clients under a protection said why, whom only they tell; None under none.
    """
    message = f"{many(alive, 'client')} answered, {least} are needed"
    if not alive and all(loss.refused for loss in lost.values()):
        return _ended(message + reasons(lost), BadInput, clients_log)
    return RoundVoid(message) if alive else _failed_alike(lost, task, clients_log) or RoundVoid(message)


def _failed_alike(
    lost: Mapping[ClientId, Lost], task: RoundTask, clients_log: ClientsLog | None
) -> FedlearnError | None:
    """The error that ends a run whose clients all fail with one and the same exception: every round would end so."""
    asked = [loss for client, loss in lost.items() if client not in task.fates.silent]
    reasons_given = {loss.reason for loss in asked}
    if len(reasons_given) != 1 or any(loss.trace is None for loss in asked):
        return None
    (reason,) = reasons_given
    trace = next((loss.trace for loss in asked if loss.trace), "")
    what = f"every client of round {task.round} failed"
    error = _ended(f"{what} alike: {reason}" if trace else what, FedlearnError, clients_log)
    error.__cause__ = ClientFailure(f"\n{trace}") if trace else None
    return error


def _ended(message: str, kind: Callable[[str], FedlearnError], clients_log: ClientsLog | None) -> FedlearnError:
    """The error that the run ends with; clients under a protection said why where only they may know."""
    return kind(message) if clients_log is None else clients_log.named(message, kind)
