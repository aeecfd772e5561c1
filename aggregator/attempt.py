"""One attempt at a round: request out, payloads in, sum to the openers, opened sum back.

Read `Attempt.run` from top to bottom to follow a number.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from aggregator.answers import answers
from aggregator.groups import Collected, Group, Groups, RoundTask
from aggregator.journal import OpenedSum
from aggregator.losses import loss_of, too_few
from aggregator.notices import tell_left_out
from aggregator.parties import Parties
from fedlearn.errors import BadInput, FedlearnError, ProtocolError, RoundVoid
from fedlearn.protocol import (
    AGGREGATOR,
    EVERYBODY,
    Answer,
    ClientId,
    Inbox,
    LeftOut,
    Loss,
    Lost,
    Message,
    Partial,
    PartialSum,
    Step,
    Update,
    party_name,
)
from fedlearn.protocol.messages import HEADER
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.base import FoldingHalf
from fedlearn.secure.rounds import RoundLayout
from fedlearn.secure.signed import check_signed, model_digest
from fedlearn.strategies.base import RoundContext
from fedlearn.wording import many

log = logging.getLogger(__name__)


class WorkerDied(Exception):
    """The pool lost clients through no fault of theirs: try the round again with the same cohort."""


class Attempt:
    """One attempt at one round. lost: the clients that have been lost in it so far, and why.

    last: there will be no other, so that it goes on without clients whose worker dies.
    """

    def __init__(self, parties: Parties, task: RoundTask, number: int, last: bool):
        self._parties = parties
        self._task = task
        self._number = number
        self._last = last
        groups = [
            Group(i, members, parties.protection.server(parties.plan, self._step("", i)))
            for i, members in enumerate(task.groups or (frozenset(task.cohort),))
        ]
        self._groups = Groups(groups, parties.least_groups if task.groups else None)
        self._hidden = not parties.protection.fold_in_worker
        request = task.request
        self._layout = RoundLayout.of(parties.plan, parties.layout, task.round, request.weights, request.state)
        self._model = model_digest(task.request) if self._hidden else b""  # named by signatures and the journal
        self.lost: dict[ClientId, Lost] = {}

    def _step(self, phase: str, group: int = 0) -> Step:
        return Step(self._task.round, self._number, phase, group)

    def run(self) -> Collected:
        """Train the cohort, add up its updates, group by group where it is cut, and have the sums opened.

        Raises `RoundVoid` or `BadInput` where too few updates arrive or the openers refuse, `WorkerDied` where the
        round can be tried again.
        """
        parties, groups = self._parties, self._groups
        protection = parties.protection
        alive = list(self._task.cohort)
        seconds: dict[str, float] = {}
        for phase in protection.phases:
            began = time.perf_counter()
            if self._readable(self._step(phase)):
                self._about_to_open(self._step(phase), self._added())
            self._exchange(self._step(phase), alive)
            alive = groups.going_on(client for client in alive if client not in self.lost)
            if phase == protection.training_phase:
                for group, members in groups.among(alive):
                    group.added = members
            self._check_enough(alive)
            alive = groups.going_on(alive)
            seconds[phase] = time.perf_counter() - began
        began = time.perf_counter()
        opened = self._open_groups()
        seconds["open"] = time.perf_counter() - began
        for group in groups.left_out():
            reached = group.members - self.lost.keys() - self._task.fates.crashed.keys()
            if reached:
                tell_left_out(parties, self._step(LeftOut.PHASE, group.number), sorted(reached))
        lost = groups.lost() | self._task.fates.crashed | self.lost
        why = {client: loss.reason for client, loss in lost.items()}
        parties.transcript.flush()
        parties.journal.opened([each for each, _ in opened], why, seconds)
        addends = sum(each.addends for each, _ in opened)
        context = RoundContext(self._task.round, parties.plan.rounds, self._number, len(parties.pool), addends)
        return Collected(opened, context, seconds, lost)

    def _check_enough(self, alive: Sequence[ClientId]) -> None:
        """Leave out the groups that too few clients are left of; raise where an uncut cohort is so, or nobody is left.

        A sum keeps its addends though clients vanish after training: whether it can be opened, its half says.
        """
        least = self._parties.least
        for group, members in self._groups.among(alive):
            if max(len(members), group.half.addends) < least:
                if self._groups.least is None or not alive:
                    clients_log = self._parties.clients_log if self._hidden else None
                    raise too_few(len(alive), least, self.lost, self._task, clients_log)
                self._groups.leave_out(group, RoundVoid(f"{many(len(members), 'client')} answered, {least} are needed"))

    def _exchange(self, step: Step, alive: Sequence[ClientId]) -> None:
        """One phase: send everybody alive its inbox, take what comes back, note who is lost and why."""
        parties = self._parties
        letters = self._letters(step.phase, alive)
        broadcast = b""
        if step.phase == parties.protection.training_phase:
            broadcast = parties.say(step, EVERYBODY, self._task.request, list(letters))
        inboxes = {
            client: parties.say(step, client, Inbox(payload)) if payload else b"" for client, payload in letters.items()
        }
        died = None
        answered: set[ClientId] = set()
        self._say(step.phase, 0, len(inboxes))
        for answer in self._answers(step, broadcast, inboxes):
            clients = set(answer.clients)
            if not inboxes.keys() >= clients:
                log.warning("%s was not asked in %s: its answer does not count", party_name(answer.clients[0]), step)
                continue
            if not answered.isdisjoint(clients):
                log.warning("%s answered twice in %s: its first answer counts", party_name(answer.clients[0]), step)
                continue
            answered |= clients
            self._say(step.phase, len(answered), len(inboxes))
            if isinstance(answer, Lost):
                self.lost[answer.client] = answer
                if answer.again:
                    died = answer.reason
                continue
            try:
                if isinstance(answer, Partial):
                    self._take_sum(step, answer)
                else:
                    self._take(step, answer.client, answer.data)
            except BadInput as error:
                self.lost.update((client, Lost(client, str(error))) for client in answer.clients)
        self.lost.update((client, Lost(client, "gave no answer")) for client in inboxes.keys() - answered)
        if died and not self._last and not self._readable(step):
            raise WorkerDied(died)

    def _letters(self, phase: str, alive: Sequence[ClientId]) -> dict[ClientId, bytes]:
        """The messages that the groups' halves have for each client, in the cohort's order."""
        letters: dict[ClientId, bytes] = {}
        for group, members in self._groups.among(alive):
            try:
                letters |= group.half.inboxes(phase, members)
            except RoundVoid as void:
                self._groups.leave_out(group, void)
        return {client: letters[client] for client in alive if client in letters}

    def _say(self, phase: str, done: int = 0, of: int = 0) -> None:
        """Tell whoever watches how far it is: with so many of the answers."""
        protection = self._parties.protection
        if phase == protection.training_phase:
            work = "training" if self._parties.plan.model else "counting"
            phase = f"{work} and {protection.hiding}" if protection.hiding else work
        self._parties.watched.phase(self._task.round, phase, done, of)

    def _readable(self, step: Step) -> bool:
        """True if the sum may be readable by now: then the round goes on with the answers that came, or is void.

        Tried again with other clients, it would give away the difference of two sums (Bonawitz et al. 2017, section 6).
        """
        return step.phase == self._parties.protection.reveals

    def _answers(self, step: Step, broadcast: bytes, inboxes: dict[ClientId, bytes]) -> Iterator[Answer]:
        """Yield what comes back from the clients of `inboxes`; those that vanish by the fault model are not asked."""
        gone = self._task.fates.gone(step.phase, self._parties.protection)
        if not gone:
            yield from self._parties.pool.exchange(step, broadcast, inboxes)
            return
        yield from (gone[client] for client in inboxes if client in gone)
        rest = {client: inbox for client, inbox in inboxes.items() if client not in gone}
        yield from self._parties.pool.exchange(step, broadcast, rest)

    def _take(self, step: Step, client: ClientId, data: bytes) -> None:
        """Hand one client's payload to the protection; where clients sign, the openers get to see it too.

        A client that is lost, and says so, is entered as such.
        """
        parties = self._parties
        if Message.kind_of(data) == Loss.kind:
            loss = parties.read(data, Loss, step, client)
            parties.transcript.saw(data)
            self.lost[client] = loss_of(client, loss)
            return
        payload = parties.read(data, Update, step, client).payload
        if not parties.protection.signed or step.phase != parties.protection.training_phase:
            parties.transcript.saw(data)
            self._groups.of(client).half.receive(step.phase, client, payload)
            return
        signed = check_signed(parties.plan, step, client, payload)
        parties.transcript.saw(data)
        if signed.model != self._model:
            raise ProtocolError("it trained another model than the one it was sent: its update does not count")
        self._groups.of(client).half.receive(step.phase, client, signed.payload)
        parties.transcript.saw(data, recipients=parties.plan.keys)
        parties.openers.tell(data)

    def _take_sum(self, step: Step, answer: Partial) -> None:
        """Hand over what a worker added up of its clients' vectors; counted as the traffic that theirs would be."""
        parties = self._parties
        if not parties.plan.kernels["fold"] or step.phase != parties.protection.training_phase:
            raise ProtocolError("its worker added up what the plan has clients send one by one: it does not count")
        half = cast(FoldingHalf, self._groups.of(answer.clients[0]).half)
        each = HEADER.size + half.would_take(len(parties.layout))
        message = Message.from_bytes(answer.data)
        partial = message.expect(PartialSum, session=parties.plan.session, step=step, recipient=AGGREGATOR)
        if partial.clients != answer.clients:
            raise ProtocolError(f"{party_name(message.sender)} added up other clients than it says: send it again")
        parties.transcript.saw(answer.data, traffic=each * len(answer.clients), read=message)
        half.receive_sum(partial)

    def _open_groups(self) -> list[tuple[OpenedSum, Aggregate]]:
        """Open the sums one by one; a group whose sum does not come out, or can be none of updates, is left out."""
        opened: list[tuple[OpenedSum, Aggregate]] = []
        spending = self._parties.spending
        if self._hidden:
            self._say("opening")
        for group in self._groups:
            try:
                total = self._open(group)
                if spending is not None:
                    total = spending.released(total, self._task.round, group.number)
                found = OpenedSum(total, group.half.addends, group.added, group.number)
                opened.append((found, self._layout.decode(total, found.addends)))
            except RoundVoid as void:
                self._groups.leave_out(group, void)
        return opened

    def _added(self) -> list[ClientId]:
        """The clients whose updates are in any of the sums."""
        return [client for group in self._groups for client in group.added]

    def _open(self, group: Group) -> np.ndarray:
        """Have the openers open a group's sum; a refusal makes it void, too few openers end the run."""
        half = group.half
        replies: dict[int, bytes] = {}
        refusals: list[str] = []
        try:
            for phase in half.opening:
                requests, step = half.requests(phase, replies), self._step(phase, group.number)
                self._about_to_open(step, self._added(), asks=bool(requests))
                replies = answers(self._parties, half, step, requests, refusals)
            return half.finish(replies)
        except RoundVoid as void:
            openers = self._parties.openers
            if openers.gone and (half.enough is None or openers.left < half.enough):
                raise FedlearnError(
                    f"{void}; {'; '.join(openers.gone.values())}, and its secrets with it: "
                    "start the run again, or go on from its last checkpoint with resume=True"
                ) from None
            raise RoundVoid("; ".join([str(void), *refusals])) from None

    def _about_to_open(self, step: Step, clients: Sequence[ClientId], asks: bool = True) -> None:
        """Before anybody can read the sum of these clients it is charged, and journalled where others are asked for it.

        Under `none` the aggregator reads each update as it arrives: there the model is what is still to be released.
        """
        if self._parties.spending is not None:
            self._parties.spending.charge(self._parties.plan.session, step, clients)
        if asks:
            self._parties.journal.asked(step, self._model, clients)
