"""The client side of a session: messages to clients come in, what their protection makes of them goes out.

A number's way up starts here: `LocalSession.exchange` reads the request, has it trained and encoded into integers
(`clients/training.py`), or for a query counted (`clients/counting.py`), lets the protection make its payload of them
and signs it. Nothing else about a client leaves this file: where one fails under a protection, the code of a `Loss`
does, and the text stays in the clients' own log. Under no protection the integers of many clients may leave as one sum.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgpack
import numpy as np

from clients.client import Client, ClientSource, log_name
from clients.counting import OfTheirOwn, work_of
from clients.encoded import Encoded, RunningSum
from clients.guarded import guarded, lost, trace_again
from clients.memory import ClientMemory
from clients.policy import Policy
from clients.rounding import Rounding
from clients.task import Task
from clients.training import LocalTraining
from clients.vault import Vault
from fedlearn.crypto.signing import SigningKey
from fedlearn.errors import BadInput, FedlearnError, ProtocolError
from fedlearn.groups import group_of
from fedlearn.logs import clients_side
from fedlearn.protocol import (
    AGGREGATOR,
    FIRST_WORKER,
    Answer,
    Body,
    ClientId,
    Enrolment,
    Inbox,
    LeftOut,
    Loss,
    Lost,
    Marks,
    Message,
    Partial,
    PartialSum,
    Reply,
    Step,
    TrainRequest,
    Update,
    party_name,
    read_plan,
)
from fedlearn.registry import importing_nothing
from fedlearn.sampling import not_drawn
from fedlearn.secure.base import ClientHalf, Protection
from fedlearn.secure.rounds import RoundLayout
from fedlearn.secure.signed import Signed, model_digest, sign
from fedlearn.travel import rebuilt

log = logging.getLogger(__name__)
B = TypeVar("B", bound=Body)


class LocalSession:
    """Runs any number of clients of one session in this process.

    clients: by number. vault: where their signing keys are kept, so that they survive this process; None keeps them
    in memory. worker: the number of this process among the pool's. policy: what plans they follow.
    """

    def __init__(
        self,
        clients: ClientSource | Mapping[int, Client] | OfTheirOwn,
        vault: Vault | None = None,
        worker: int = 0,
        policy: Policy | None = None,
    ):
        self._policy = policy or Policy()
        self._clients = clients
        self.vault = vault
        self._worker = FIRST_WORKER - worker
        self._signing: dict[int, SigningKey] = {}
        self._attempt: tuple[int, int] | None = None
        self._halves: dict[int, ClientHalf] = {}
        self._revealed: dict[int, tuple[int, int]] = {}  # by client: the attempt in which it last gave shares away
        self._memory: ClientMemory | None = None
        self._revealed_before: set[tuple[int, int]] = set()  # (client, round), in other processes or sessions

    def enrol(self, session: bytes, numbers: Iterable[int]) -> list[bytes]:
        """Each client's `Enrolment` message: its public key, of a signing key made for this session if it has none."""
        pki = self._policy.pki
        self._signing = {client: SigningKey() if pki is None else pki.signing_key(client) for client in numbers}
        keys = self._signing.items()
        if self.vault is not None:
            self.vault.keep(msgpack.packb({client: key.to_bytes() for client, key in keys}))
        return [Message(session, Step(0), i, AGGREGATOR, Enrolment(key.public)).to_bytes() for i, key in keys]

    def join(self, plan: bytes) -> None:
        """Agree to a session's plan, and build from it all that local training needs.

        Raises `BadInput` for one that cannot be followed, or that asks for what the clients' policy rules out. Nothing
        is imported because a plan names it: what is not ours must have been imported before.
        """
        self._plan = read_plan(plan)
        self._session = self._plan.session
        with plan_errors(), importing_nothing():
            self._protection = rebuilt(self._plan.protection, Protection)
            self._policy.check(self._plan, self._protection)
            not_drawn(self._plan, self._plan.rounds, ())  # a plan that says nonsense of it is refused now
            self._work = work_of(self._plan, self._clients)
        self.hides = not self._protection.fold_in_worker
        # A worker that takes a dead one's place has the keys that its clients enrolled with.
        if self._protection.has_roster and not self._signing and self.vault is not None:
            secrets = msgpack.unpackb(self.vault.kept(), strict_map_key=False)
            self._signing = {client: SigningKey(secret) for client, secret in secrets.items()}
        for client, key in self._signing.items():
            if self._plan.roster.get(client) != key.public:
                raise ProtocolError(f"the plan's roster has another key for {party_name(client)} than its own")

    def remember(self, folder: Path) -> None:
        """The folder in which clients keep what they must know in later rounds and sessions; after `join`."""
        self._memory = ClientMemory(folder)
        self._revealed_before = self._memory.revealed()

    def measure(self, rounding: Rounding) -> None:
        """Have a simulation take down how far integers are from what they stand for, from now on."""
        if isinstance(self._work, LocalTraining):
            self._work.rounding = rounding

    def to_state(self) -> bytes:
        """The attempt at a round as far as it is, clients' secrets included, for another object that is asked next."""
        halves = {client: half.to_state() for client, half in self._halves.items()}
        kept = {client: state for client, state in halves.items() if state}
        data: bytes = msgpack.packb([self._attempt, kept, self._revealed])
        return data

    def from_state(self, data: bytes) -> None:
        """Go on from what `to_state` gave, after `join`."""
        self._attempt, kept, self._revealed = msgpack.unpackb(data, strict_map_key=False, use_list=False)
        for client, state in kept.items():
            assert self._attempt is not None
            self._halves[client] = self._new_half(client, Step(*self._attempt))
            self._halves[client].from_state(state)

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[ClientId, bytes]) -> Iterator[Answer]:
        """The answers of the clients of `inboxes` to a step; each is in one of them."""
        trace_again()
        answers = self._answers(step, broadcast, inboxes)
        if self.hides:
            yield from self._told_in_code(step, answers)
            return
        traced = False
        for answer in answers:
            if isinstance(answer, Lost) and answer.trace:
                answer = replace(answer, trace="" if traced else answer.trace)
                traced = True  # one is enough
            yield answer

    def _told_in_code(self, step: Step, answers: Iterator[Answer]) -> Iterator[Answer]:
        """The message about a lost client that a protection allows: of fixed size."""
        while True:
            with clients_side():  # not while the caller has its turn
                answer = next(answers, None)
            if answer is None:
                return
            if isinstance(answer, Lost):
                answer = self._said(answer.client, step, Loss(Loss.REFUSED if answer.refused else Loss.FAILED))
            yield answer

    def _answers(self, step: Step, broadcast: bytes, inboxes: Mapping[ClientId, bytes]) -> Iterator[Answer]:
        if step.phase == Marks.PHASE:
            yield from self._examined(step, broadcast, inboxes)
            return
        if step.phase == LeftOut.PHASE:
            yield from self._left_out(step, broadcast, inboxes)
            return
        if self.hides and step.phase == self._protection.phases[0]:
            with importing_nothing():
                others = not_drawn(self._plan, step.round, inboxes)
            error = ProtocolError(f"the plan's sampler does not draw this client in round {step.round}")
            yield from (self._lost(client, step, error) for client in others)
            inboxes = {client: inbox for client, inbox in inboxes.items() if client not in others}
        if step.phase == self._protection.reveals and self._memory is not None:
            self._memory.reveal(inboxes, step.round)
        if step.phase == self._protection.training_phase:
            yield from self._trained(step, broadcast, inboxes)
            return
        for client, inbox in inboxes.items():
            yield self._guarded(client, step, partial(self._reply, client, step, inbox))

    def _trained(self, step: Step, broadcast: bytes, inboxes: Mapping[ClientId, bytes]) -> Iterator[Answer]:
        """The answers of the phase in which clients do their work, as what their protection makes of it."""
        try:
            request = self._read(broadcast, TrainRequest, step)
            self._work.check(request)
        except BadInput as error:
            yield from (self._lost(client, step, error) for client in inboxes)
            return
        layout = RoundLayout.of(self._plan, self._work.layout, step.round, request.weights, request.state)
        task = Task(step.round, request.weights, request.state, layout, self._memory)
        trained = self._work.updates(inboxes, task)
        if self._plan.kernels["fold"]:
            yield from self._folded(step, trained)
            return
        digest = model_digest(request) if self._protection.signed else b""
        for result in trained:
            if isinstance(result, Lost):
                yield result
                continue
            for client, vector in result.vectors(len(self._work.layout)):
                yield self._guarded(client, step, partial(self._reply, client, step, inboxes[client], vector, digest))

    def _examined(self, step: Step, broadcast: bytes, inboxes: Mapping[ClientId, bytes]) -> Iterator[Answer]:
        """How the model does on each client's own examples: said under no protection, and to nobody else."""
        for client in inboxes:
            yield self._guarded(client, step, partial(self._marks, client, step, broadcast))

    def _marks(self, client: ClientId, step: Step, broadcast: bytes) -> Reply:
        if self.hides or self._plan.privacy or not isinstance(self._work, LocalTraining):
            raise ProtocolError("how a model does on one client's examples is told under no protection only")
        request = self._read(broadcast, TrainRequest, step)
        return self._said(client, step, Marks(msgpack.packb(self._work.examined(client, request.weights))))

    def _left_out(self, step: Step, notice: bytes, inboxes: Iterable[ClientId]) -> Iterator[Answer]:
        """Each of these clients hears that its group was left out. What it keeps stays as it was before the round."""
        for client in inboxes:
            yield self._guarded(client, step, partial(self._heard, client, step, notice))

    def _heard(self, client: ClientId, step: Step, notice: bytes) -> Reply:
        self._read(notice, LeftOut, step)
        if self.hides and group_of(self._plan, step.round, client) != step.group:
            raise ProtocolError(f"this client is not of group {step.group} in round {step.round}")
        log.info("%s: its group, %d, was left out of round %d", self._name(client), step.group, step.round)
        return self._said(client, step, LeftOut())

    def _folded(self, step: Step, trained: Iterable[Encoded | Lost]) -> Iterator[Partial | Lost]:
        """The sum of all trained clients' integers, as one message."""
        total = RunningSum(self._work.layout)
        members: list[int] = []
        for result in trained:
            if isinstance(result, Lost):
                yield result
                continue
            total.add(result)
            members += result.clients
        if members:
            body = PartialSum(tuple(members), total.total())
            yield Partial(body.clients, Message(self._session, step, self._worker, AGGREGATOR, body).to_bytes())

    def _name(self, client: ClientId) -> str:
        return log_name(self._clients, client)

    def _guarded(self, client: ClientId, step: Step, work: Callable[[], Reply]) -> Reply | Lost:
        return guarded(client, self._name(client), step.round, work)

    def _lost(self, client: ClientId, step: Step, error: Exception) -> Lost:
        return lost(client, self._name(client), step.round, error)

    def _said(self, client: ClientId, step: Step, body: Body) -> Reply:
        """A message from one client to the aggregator."""
        return Reply(client, Message(self._session, step, client, AGGREGATOR, body).to_bytes())

    def _reply(
        self, client: int, step: Step, inbox: bytes, vector: np.ndarray | None = None, model: bytes = b""
    ) -> Reply:
        """Let one client's half of the protection work on its inbox and, in the training phase, its vector."""
        letter = self._read(inbox, Inbox, step).payload if inbox else b""
        half = self._half(client, step)
        if step.phase == self._protection.reveals:
            self._revealed[client] = (step.round, step.attempt)  # before it answers
        payload = half.step(step.phase, letter, vector)
        if self._protection.signed and vector is not None:
            payload = sign(self._signing[client], self._plan, step, client, Signed(model, payload))
        return self._said(client, step, Update(payload))

    def _read(self, data: bytes, kind: type[B], step: Step) -> B:
        return Message.from_bytes(data).expect(kind, session=self._session, step=step, sender=AGGREGATOR)

    def _half(self, client: int, step: Step) -> ClientHalf:
        """The client's half of the protection; it lives for one attempt."""
        if self._attempt != (step.round, step.attempt):
            self._attempt, self._halves = (step.round, step.attempt), {}
        if (client, step.round) in self._revealed_before:
            raise ProtocolError(
                f"round {step.round} may have been opened before this client's process or session began: it takes no "
                "part in it again"
            )
        round, attempt = self._revealed.get(client, (step.round, step.attempt))
        if round == step.round and attempt != step.attempt:
            raise ProtocolError(
                f"round {round} may have been opened in attempt {attempt}: this client takes part in no other attempt"
            )
        if client not in self._halves:
            self._halves[client] = self._new_half(client, step)
        return self._halves[client]

    def _new_half(self, client: int, step: Step) -> ClientHalf:
        half = self._protection.client(self._plan, client)
        if self._protection.enrolled:
            half.identify(self._signing[client], step)
        return half


@contextmanager
def plan_errors() -> Iterator[None]:
    """Turn any fault of a plan that others wrote into bad input, in whichever part it comes to light."""
    try:
        yield
    except Exception as error:
        if isinstance(error, FedlearnError) and str(error).isprintable():
            raise
        reason = ascii(f"{type(error).__name__}: {error!s:.200}")[1:-1]  # which may quote what was sent
        raise ProtocolError(f"the plan cannot be followed, {reason}; all parties must run one version") from error


def too_late(session: bytes, step: Step, client: ClientId) -> Reply:
    """The answer that stands for a client whose pool has given up waiting for it."""
    return Reply(client, Message(session, step, client, AGGREGATOR, Loss(Loss.LATE)).to_bytes())


def gathered(answers: Iterable[Answer], seconds: float) -> Iterator[list[Answer]]:
    """Answers as they come, those of so many seconds of work together; no list is empty."""
    ready: list[Answer] = []
    began = time.perf_counter()
    for answer in answers:
        ready.append(answer)
        if time.perf_counter() - began > seconds:
            yield ready
            ready, began = [], time.perf_counter()
    if ready:
        yield ready
