"""One attempt at a round: request out, payloads in, sum to the openers, opened sum back.

Read `Attempt.run` from top to bottom to follow a number.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from aggregator.answers import answers
from aggregator.faults import NO_FAULTS, Fates
from aggregator.losses import loss_of
from aggregator.parties import Parties
from fedlearn.errors import BadInput, ClientFailure, FedlearnError, ProtocolError, RoundVoid
from fedlearn.logs import alike
from fedlearn.protocol import (
    AGGREGATOR,
    EVERYBODY,
    Answer,
    ClientId,
    Inbox,
    Loss,
    Lost,
    Message,
    Partial,
    PartialSum,
    Step,
    TrainRequest,
    Update,
    party_name,
)
from fedlearn.protocol.messages import HEADER
from fedlearn.secure.base import FoldingHalf
from fedlearn.secure.layout import Aggregate
from fedlearn.secure.signed import check_signed, model_digest
from fedlearn.strategies.base import RoundContext

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundTask:
    """What a round is to do: whom it asks to train from what, and who will vanish by the fault model."""

    round: int
    cohort: tuple[ClientId, ...]
    request: TrainRequest
    fates: Fates = NO_FAULTS


@dataclass(frozen=True)
class Collected:
    """One round's opened sum and how it came about.

    clients  those whose updates are in the sum. lost: clients that were lost, some of them after their update was in
    seconds  by phase. earlier: an earlier session opened it, and told the clients that keep state
    """

    aggregate: Aggregate
    context: RoundContext
    clients: list[ClientId]
    seconds: dict[str, float]
    lost: dict[ClientId, Lost] = field(default_factory=dict)
    earlier: bool = False


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
        self._half = parties.protection.server(parties.plan, self._step())
        self._hidden = not parties.protection.fold_in_worker
        self._model = model_digest(task.request) if self._hidden else b""  # named by signatures and the journal
        self.lost: dict[ClientId, Lost] = {}

    def _step(self, phase: str = "") -> Step:
        return Step(self._task.round, self._number, phase)

    def run(self) -> Collected:
        """Train the cohort, add up its updates and have the sum opened.

        Raises `RoundVoid` or `BadInput` where too few updates arrive or the openers refuse, `WorkerDied` where the
        round can be tried again.
        """
        parties, half = self._parties, self._half
        protection = parties.protection
        alive = list(self._task.cohort)
        added: list[ClientId] = []
        seconds: dict[str, float] = {}
        for phase in protection.phases:
            began = time.perf_counter()
            if self._readable(self._step(phase)):
                self._about_to_open(self._step(phase), added)
            self._exchange(self._step(phase), alive)
            alive = [client for client in alive if client not in self.lost]
            if phase == protection.training_phase:
                added = alive
            # A sum keeps its addends though clients vanish after training: whether it can be opened, `half` says.
            if max(len(alive), half.addends) < parties.least:
                raise self._too_few(len(alive))
            seconds[phase] = time.perf_counter() - began
        began = time.perf_counter()
        total = self._open(added)
        seconds["open"] = time.perf_counter() - began
        if parties.spending is not None:
            total = parties.spending.released(total, self._task.round)
        aggregate = parties.layout.decode(total, half.addends)
        lost = self._task.fates.crashed | self.lost
        if self._hidden:
            reasons = {client: loss.reason for client, loss in lost.items()}
            parties.transcript.flush()
            parties.journal.opened(total, half.addends, added, reasons, seconds)
        context = RoundContext(
            self._task.round, parties.plan.rounds, self._number, len(parties.pool), aggregate.addends
        )
        return Collected(aggregate, context, added, seconds, lost)

    def _too_few(self, alive: int) -> Exception:
        message = f"{alive} clients answered, {self._parties.least} are needed"
        if not alive and all(loss.refused for loss in self.lost.values()):
            return self._ended(message + self.reasons(), BadInput)
        return RoundVoid(message) if alive else self._failed_alike() or RoundVoid(message)

    def _failed_alike(self) -> FedlearnError | None:
        """What ends the run where every client fails with one and the same exception: it would be so in every round."""
        asked = [loss for client, loss in self.lost.items() if client not in self._task.fates.silent]
        if len({(loss.reason, loss.trace is None) for loss in asked}) != 1 or asked[0].trace is None:
            return None
        trace = next((loss.trace for loss in asked if loss.trace), "")
        what = f"all {len(asked)} clients of round {self._task.round} failed"
        error = self._ended(f"{what} alike: {asked[0].reason}" if trace else what, FedlearnError)
        error.__cause__ = ClientFailure(f"\n{trace}") if trace else None
        return error

    def _ended(self, message: str, kind: Callable[[str], FedlearnError]) -> FedlearnError:
        """What the run ends with; clients under a protection said why where only they may know."""
        if self._parties.protection.fold_in_worker:
            return kind(message)
        return self._parties.clients_log.named(message, kind)

    def reasons(self) -> str:
        """Why clients were lost, the first few of them."""
        if not self.lost:
            return ""
        told: dict[str, str] = {}
        more: Counter[str] = Counter()
        for client, loss in sorted(self.lost.items()):
            told.setdefault(alike(loss.reason), f"{party_name(client)}: {loss.reason}")
            more[alike(loss.reason)] += 1
        first = [f"{text}{f' ({more[kind] - 1} more alike)' if more[kind] > 1 else ''}" for kind, text in told.items()]
        return f"; lost {len(self.lost)}: {'; '.join(first[:3])}"

    def _exchange(self, step: Step, alive: Sequence[ClientId]) -> None:
        """One phase: send everybody alive its inbox, take what comes back, note who is lost and why."""
        parties = self._parties
        broadcast = b""
        if step.phase == parties.protection.training_phase:
            broadcast = parties.message(step, EVERYBODY, self._task.request)
            parties.transcript.saw(broadcast, recipients=alive)
        inboxes = {}
        for client, payload in self._half.inboxes(step.phase, alive).items():
            inboxes[client] = parties.message(step, client, Inbox(payload)) if payload else b""
            if payload:
                parties.transcript.saw(inboxes[client])
        died = None
        answered: set[ClientId] = set()
        self._say(step.phase, 0, len(inboxes))
        for answer in self._answers(step, broadcast, inboxes):
            if not answered.isdisjoint(answer.clients):
                log.warning("%s answered twice in %s: its first answer counts", party_name(answer.clients[0]), step)
                continue
            answered.update(answer.clients)
            self._say(step.phase, len(answered), len(inboxes))
            if isinstance(answer, Lost):
                self.lost[answer.client] = answer
                died = answer.reason if answer.again else died
                continue
            try:
                if isinstance(answer, Partial):
                    self._take_sum(step, answer)
                else:
                    self._take(step, answer.client, answer.data)
            except BadInput as error:
                self.lost.update((client, Lost(client, str(error))) for client in answer.clients)
        if died and not self._last and not self._readable(step):
            raise WorkerDied(died)

    def _say(self, phase: str, done: int = 0, of: int = 0) -> None:
        """Tell whoever watches how far it is."""
        protection = self._parties.protection
        if phase == protection.training_phase:
            phase = f"training and {protection.hiding}" if protection.hiding else "training"
        self._parties.watched.phase(self._task.round, phase, done, of)

    def _readable(self, step: Step) -> bool:
        """Whether the sum may be readable by now: then the round goes on with the answers that came, or is void.

        Tried again with other clients, it would give away the difference of two sums (Bonawitz et al. 2017, section 6).
        """
        return step.phase == self._parties.protection.reveals

    def _answers(self, step: Step, broadcast: bytes, inboxes: dict[ClientId, bytes]) -> Iterator[Answer]:
        """What comes back from the clients of `inboxes`; those that vanish by the fault model are not asked."""
        gone = self._task.fates.gone(step.phase, self._parties.protection)
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
            self._half.receive(step.phase, client, payload)
            return
        signed = check_signed(parties.plan, step, client, payload)
        parties.transcript.saw(data)
        if signed.model != self._model:
            raise ProtocolError("it trained another model than the one it was sent: its update does not count")
        self._half.receive(step.phase, client, signed.payload)
        parties.transcript.saw(data, recipients=parties.plan.keys)
        parties.openers.tell(data)

    def _take_sum(self, step: Step, answer: Partial) -> None:
        """Hand over what a worker added up of its clients' vectors; counted as the traffic that theirs would be."""
        parties, half = self._parties, cast(FoldingHalf, self._half)
        each = HEADER.size + half.would_take(len(parties.layout))
        message = Message.from_bytes(answer.data)
        partial = message.expect(PartialSum, session=parties.plan.session, step=step, recipient=AGGREGATOR)
        if partial.clients != answer.clients:
            raise ProtocolError(f"{party_name(message.sender)} added up other clients than it says: send it again")
        parties.transcript.saw(answer.data, traffic=each * len(answer.clients))
        half.receive_sum(partial)

    def _open(self, added: Sequence[ClientId]) -> np.ndarray:
        """Have the openers open the sum; a refusal makes the round void, too few openers end the run."""
        replies: dict[int, bytes] = {}
        refusals: list[str] = []
        if self._hidden:
            self._say("opening")
        try:
            for phase in self._half.opening:
                requests = self._half.requests(phase, replies)
                self._about_to_open(self._step(phase), added, asks=bool(requests))
                replies = answers(self._parties, self._half, self._step(phase), requests, refusals)
            return self._half.finish(replies)
        except RoundVoid as void:
            openers = self._parties.openers
            gone = openers.gone
            if gone and openers.left < (self._half.enough or openers.left + 1):
                raise FedlearnError(
                    f"{void}; {'; '.join(gone.values())}, and its secrets with it: "
                    "start the run again, or go on from its last checkpoint with --resume"
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
