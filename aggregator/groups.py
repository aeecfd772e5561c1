"""A round's task, what comes of it, and the groups of one attempt at it.

A cohort that is not cut is one group, and the attempt ends with it. Where it is cut, a group that cannot go on is left
out, as one that too few clients answered in, and the round goes on as long as the robust rule has enough of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aggregator.faults import NO_FAULTS, Fates
from aggregator.history import RoundRecord
from aggregator.journal import OpenedSum
from fedlearn.errors import RoundVoid
from fedlearn.protocol import ClientId, Lost, TrainRequest
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.base import ServerHalf
from fedlearn.strategies.base import RoundContext
from fedlearn.wording import many

log = logging.getLogger(__name__)


class RunSizes(NamedTuple):
    """The numbers that stand fast for a whole run.

    population: all clients. cohort: those whose updates a round wants. sampled: those that are asked, more than that
    where the faults over-select. addends: the most that the sampler may draw, which a sum must hold.
    """

    population: int
    cohort: int
    sampled: int
    addends: int
    rounds: int


@dataclass(frozen=True)
class RoundTask:
    """The task of a round: whom it asks to train from what, and who will vanish by the fault model.

    groups: the cohort as it was cut; none where it has one sum.
    """

    round: int
    cohort: tuple[ClientId, ...]
    request: TrainRequest
    fates: Fates = NO_FAULTS
    groups: tuple[frozenset[ClientId], ...] = ()


@dataclass(frozen=True)
class Collected:
    """One round's opened sums and how they came about.

    opened   what each of them says, in order of groups; one where the cohort is not cut
    lost     clients that were lost, some of them after their update was in
    seconds  by phase. earlier: an earlier session opened them, and told the clients that keep state
    """

    opened: list[tuple[OpenedSum, Aggregate]]
    context: RoundContext
    seconds: dict[str, float]
    lost: dict[ClientId, Lost] = field(default_factory=dict)
    earlier: bool = False

    @property
    def clients(self) -> list[ClientId]:
        """The clients whose updates are in a sum."""
        return [client for each, _ in self.opened for client in each.clients]

    def enter(self, record: RoundRecord) -> None:
        """Write into the round's record who took part, and how long it took."""
        record.clients_ok = self.context.addends
        record.lost = {client: loss.reason for client, loss in sorted(self.lost.items())}
        record.attempts = self.context.attempt + 1
        record.seconds = self.seconds


@dataclass(eq=False)
class Group:
    """One group in one attempt. added: whose vectors are in its sum. left_out: why it does not go on, "" if it does."""

    number: int
    members: frozenset[ClientId]
    half: ServerHalf
    added: list[ClientId] = field(default_factory=list)
    left_out: str = ""


class Groups:
    """The groups of one attempt; iterating gives those that go on. least: how many must; None for an uncut cohort."""

    def __init__(self, groups: Sequence[Group], least: int | None):
        self._all = groups
        self.least = least
        self._uncut = len(groups) == 1
        self._of = {} if self._uncut else {client: group for group in groups for client in group.members}

    def __iter__(self) -> Iterator[Group]:
        return iter([group for group in self._all if not group.left_out])

    def of(self, client: ClientId) -> Group:
        return self._all[0] if self._uncut else self._of[client]

    def among(self, clients: Iterable[ClientId]) -> list[tuple[Group, list[ClientId]]]:
        """Each group that goes on, with those of the clients that are in it, in their order."""
        if self._uncut:
            return [(group, list(clients)) for group in self]
        members: dict[int, list[ClientId]] = {group.number: [] for group in self._all}
        for client in clients:
            members[self._of[client].number].append(client)
        return [(group, members[group.number]) for group in self]

    def going_on(self, clients: Iterable[ClientId]) -> list[ClientId]:
        """The clients whose groups go on."""
        if self._uncut:
            return [client for group in self for client in clients]
        return [client for client in clients if not self._of[client].left_out]

    def leave_out(self, group: Group, why: RoundVoid) -> None:
        """Go on without a group; raises `RoundVoid` where too few are left, and for the only one."""
        if self.least is None:
            raise why
        group.left_out = f"group {group.number} was left out: {why}"
        log.info("%s", group.left_out)
        left = len(list(self))
        if left < self.least:
            raise RoundVoid(
                f"{left} of {many(len(self._all), 'group is', 'groups are')} left, {self.least} are needed; "
                f"{group.left_out}"
            )

    def left_out(self) -> list[Group]:
        """The groups that do not go on."""
        return [group for group in self._all if group.left_out]

    def lost(self) -> dict[ClientId, Lost]:
        """The clients of groups that were left out, and why."""
        return {client: Lost(client, group.left_out) for group in self.left_out() for client in group.members}
