"""One session: the parties agree on a plan, then each round's updates become one opened sum.

Read `collect` from top to bottom to follow a number: request out, payloads in, sum to the openers, mean back.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import numpy as np

from aggregator.faults import NO_FAULTS, Fates
from aggregator.openers import Openers
from fedlearn.autograd import recurrent
from fedlearn.autograd.recurrent import KernelPlan
from fedlearn.errors import BadInput, CodecError, FedlearnError, ProtocolError, RoundVoid
from fedlearn.models.base import Model
from fedlearn.protocol import (
    AGGREGATOR,
    EVERYBODY,
    Answer,
    Body,
    Counted,
    Enrolment,
    Inbox,
    Lost,
    Message,
    Opened,
    OpenerKey,
    OpenRequest,
    Partial,
    PartialSum,
    Pool,
    Refusal,
    RunPlan,
    Step,
    TrainRequest,
    Transcript,
    Update,
    party_name,
)
from fedlearn.protocol.messages import HEADER
from fedlearn.secure.base import FoldingHalf, Protection, ServerHalf
from fedlearn.secure.layout import Aggregate, Layout
from fedlearn.secure.signed import check_signed
from fedlearn.strategies.base import Strategy
from fedlearn.training.flat import stack_size

B = TypeVar("B", bound=Body)
ATTEMPTS = 3  # of one round, where workers die under it


@dataclass
class Collected:
    """One round's opened sum and how it came about. seconds: by phase. lost: some of them after their update was in.

    clients: whose updates are in the sum. participation: what share of all clients they are.
    """

    aggregate: Aggregate
    clients: list[int]
    participation: float
    attempts: int
    seconds: dict[str, float]
    lost: dict[int, Lost] = field(default_factory=dict)


class _WorkerDied(Exception):
    """The pool lost clients through no fault of theirs: try the round again with the same cohort."""


class Session:
    """Aggregator, pool and openers under one plan; a session has its own keys.

    cohort: clients whose updates a round is complete with. sampled: clients that are told to train, as many or more.
    """

    def __init__(
        self,
        pool: Pool,
        model: Model,
        strategy: Strategy,
        protection: Protection,
        *,
        vocabulary: dict[str, Any],
        seed: int,
        cohort: int,
        sampled: int,
        rounds: int,
        stack: str = "auto",
        kernels: KernelPlan | None = None,
    ):
        if sampled > protection.codec.addends:
            raise CodecError(
                f"a cohort of {sampled} clients does not fit a codec of {protection.codec.addends} addends: "
                f"set addends={sampled} or more in the codec"
            )
        if cohort < protection.min_cohort:
            raise BadInput(
                f"a cohort of {cohort} clients is under the minimum of {protection.min_cohort} that protection "
                f"{protection.name} opens a sum for: sample more clients, or lower min_cohort knowingly"
            )
        running = [name for name, _ in model.named_buffers()]
        if running:
            raise BadInput(
                f"the model keeps running statistics ({', '.join(running)}), which no update carries: "
                "they would stay as they began; take LayerNorm, or BatchNorm with track_running_stats=False"
            )
        self._kernels = kernels or KernelPlan()
        stack_size(model, stack)  # refused here, before anything is written, if it cannot be done
        self._pool = pool
        self._keeping = bool(strategy.keeps(model.vector.size))
        self._protection = protection
        self._id = secrets.token_bytes(16)
        self._closing = ExitStack()
        self._layout = Layout.of(strategy.outputs(model.vector.size), protection.codec, strategy.max_weight)
        self._plan = RunPlan(
            session=self._id,
            roster={},
            model=model.spec(),
            vocabulary=vocabulary,
            strategy={"name": strategy.name, "arguments": strategy.arguments()},
            protection={"name": protection.name, "arguments": protection.arguments()},
            keys={},
            layout=self._layout.to_dict(),
            cohort=sampled,
            rounds=rounds,
            kernels={"blas_threads": 1, "stack": stack, "fold": False, "recurrent": self._kernels.to_dict()},
            seed=seed,
        )

    def start(self, transcript: Transcript, clients: Path | None) -> None:
        """Start openers and clients: their keys come in, the plan goes out to everybody.

        clients: where those that keep state do so (None: somewhere while the session lasts).
        """
        self._transcript = transcript
        self._closing.callback(recurrent.use, recurrent.current())
        recurrent.use(self._kernels)  # here too: the model is evaluated in this process
        if self._keeping:  # a temporary folder is of mode 0700
            self._clients = clients or Path(self._closing.enter_context(TemporaryDirectory(prefix="fedlearn-clients-")))
        self._plan.kernels["fold"] = self._protection.fold_in_worker and not transcript.record
        self._openers = Openers(self._protection, self._id)
        self._closing.callback(self._openers.close)
        self._closing.callback(self._pool.close)
        for party, data in self._openers.keys().items():
            self._plan.keys[party] = self._read(data, OpenerKey, Step(0), party).payload
        self._pool.open()
        for data in self._pool.enrol(self._id) if self._protection.signed else ():
            message = transcript.saw(data)
            self._plan.roster[message.sender] = message.expect(Enrolment, session=self._id).payload
        plan = self._message(Step(0), EVERYBODY, self._plan)
        transcript.saw(plan)
        self._openers.tell(plan)
        self._pool.start(plan)

    def remember(self, round: int) -> None:
        """Have clients that keep state go on with that after `round`."""
        if self._keeping:
            self._pool.remember(self._clients, round)

    def settle(self, round: int, collected: Collected, resumable: Sequence[int]) -> None:
        """Tell the clients in a round's sum that it counted, where they keep state; resumable: as in `Pool.settle`."""
        if self._keeping:
            notice = self._message(Step(round, collected.attempts - 1, "settle"), EVERYBODY, Counted())
            self._transcript.saw(notice, recipients=collected.clients)
            self._pool.settle(notice, collected.clients, resumable)

    def close(self) -> None:
        """End pool and openers, so far as they were started."""
        self._closing.close()

    def collect(self, round: int, cohort: Sequence[int], weights: np.ndarray, fates: Fates = NO_FAULTS) -> Collected:
        """Train the cohort from `weights` (P,) float32 and open the sum of its updates.

        After the weights may come what the strategy broadcasts beside them.
        fates: clients that vanish by the fault model, in every attempt.
        Raises `RoundVoid` with the reason where too few updates arrive, the openers refuse, or workers die in
        every attempt; `BadInput` where it is void because clients refused what they were told to do.
        """
        if not self._protection.min_cohort <= len(cohort) <= self._plan.cohort:
            least = self._protection.min_cohort
            raise RoundVoid(f"{len(cohort)} clients were sampled, it takes {least} to {self._plan.cohort}", attempts=0)
        self._fates = fates
        for attempt in range(ATTEMPTS):
            lost: dict[int, Lost] = {}
            try:
                return self._phases(round, attempt, list(cohort), weights, lost)
            except _WorkerDied as died:
                reason = f"workers died in {ATTEMPTS} attempts, the last time because {died}"
            except RoundVoid as void:
                reason = f"{void}{_reasons(lost)}"
                break
        raise RoundVoid(reason, {client: loss.reason for client, loss in lost.items()}, attempt + 1)

    def _phases(
        self, round: int, attempt: int, alive: list[int], weights: np.ndarray, lost: dict[int, Lost]
    ) -> Collected:
        half = self._protection.server(self._plan, Step(round, attempt))
        seconds: dict[str, float] = {}
        added: list[int] = []
        for phase in self._protection.phases:
            began = time.perf_counter()
            self._exchange(Step(round, attempt, phase), half, alive, weights, lost)
            alive = [client for client in alive if client not in lost]
            if phase == self._protection.training_phase:
                added = alive
            # A sum keeps its addends though clients vanish after training: whether it can be opened, `half` says.
            if max(len(alive), half.addends) < self._protection.min_cohort:
                raise self._too_few(len(alive), lost)
            seconds[phase] = time.perf_counter() - began
        began = time.perf_counter()
        total = self._open(Step(round, attempt, "open"), half)
        seconds["open"] = time.perf_counter() - began
        aggregate = self._layout.decode(total, half.addends)
        participation = aggregate.addends / len(self._pool)
        return Collected(aggregate, added, participation, attempt + 1, seconds, self._fates.crashed | lost)

    def _too_few(self, alive: int, lost: dict[int, Lost]) -> Exception:
        message = f"{alive} clients answered, {self._protection.min_cohort} are needed"
        if all(loss.refused for loss in lost.values()):
            return BadInput(message + _reasons(lost))
        return RoundVoid(message)

    def _exchange(
        self, step: Step, half: ServerHalf, alive: list[int], weights: np.ndarray, lost: dict[int, Lost]
    ) -> None:
        """One phase: tell everybody alive, take what they answer, note who is lost and why."""
        broadcast = b""
        if step.phase == self._protection.training_phase:
            broadcast = self._message(step, EVERYBODY, TrainRequest(weights))
            self._transcript.saw(broadcast, recipients=alive)
        inboxes = {}
        for client, payload in half.inboxes(step.phase, alive).items():
            inboxes[client] = self._message(step, client, Inbox(payload)) if payload else b""
            if payload:
                self._transcript.saw(inboxes[client])
        died = None
        for answer in self._answers(step, broadcast, inboxes):
            if isinstance(answer, Lost):
                lost[answer.client] = answer
                died = answer.reason if answer.again else died
                continue
            try:
                if isinstance(answer, Partial):
                    self._take_sum(step, cast(FoldingHalf, half), answer)
                else:
                    self._take(step, half, answer.client, answer.data)
            except BadInput as error:
                lost.update((client, Lost(client, str(error))) for client in answer.clients)
        if died:
            raise _WorkerDied(died)

    def _answers(self, step: Step, broadcast: bytes, inboxes: dict[int, bytes]) -> Iterator[Answer]:
        """What comes back from clients that were told something: of those who vanish, only that they did."""
        gone = self._fates.gone(step.phase, self._protection)
        yield from (gone[client] for client in inboxes if client in gone)
        yield from self._pool.exchange(step, broadcast, {c: inbox for c, inbox in inboxes.items() if c not in gone})

    def _take(self, step: Step, half: ServerHalf, client: int, data: bytes) -> None:
        """Hand one client's payload to the protection; where clients sign, the openers get to see it too."""
        payload = self._read(data, Update, step, client).payload
        if not self._protection.signed or step.phase != self._protection.training_phase:
            half.receive(step.phase, client, payload)
            return
        half.receive(step.phase, client, check_signed(self._plan, step, client, payload).payload)
        self._transcript.saw(data, recipients=self._plan.keys)
        self._openers.tell(data)

    def _take_sum(self, step: Step, half: FoldingHalf, answer: Partial) -> None:
        """Hand over what a worker added up of its clients' vectors; counted as the traffic that theirs would be."""
        each = HEADER.size + half.would_take(len(self._layout))
        message = self._transcript.saw(answer.data, traffic=each * len(answer.clients))
        partial = message.expect(PartialSum, session=self._id, step=step)
        if partial.clients != answer.clients:
            raise ProtocolError(f"{party_name(message.sender)} added up other clients than it says: send it again")
        half.receive_sum(partial)

    def _open(self, step: Step, half: ServerHalf) -> np.ndarray:
        """Have the openers open what `half` holds; a refusal makes the round void, too few openers end the run."""
        requests = {}
        for party, payload in half.requests().items():
            requests[party] = self._message(step, party, OpenRequest(payload))
            self._transcript.saw(requests[party])
        replies, refusals = {}, []
        for party, data in self._openers.ask(requests).items():
            message = self._transcript.saw(data)
            if isinstance(message.body, Refusal):
                refusals.append(f"{party_name(party)} refused: {message.body.reason}")
            else:
                replies[party] = message.expect(Opened, session=self._id, step=step, sender=party).payload
        try:
            return half.finish(replies)
        except RoundVoid as void:
            if self._openers.gone:
                raise FedlearnError(
                    f"{void}; {'; '.join(self._openers.gone.values())}, and its secrets with it: "
                    "start the run again, or go on from its last checkpoint with --resume"
                ) from None
            raise RoundVoid("; ".join([str(void), *refusals])) from None

    def _message(self, step: Step, recipient: int, body: Body) -> bytes:
        return Message(self._id, step, AGGREGATOR, recipient, body).to_bytes()

    def _read(self, data: bytes, kind: type[B], step: Step, sender: int) -> B:
        return self._transcript.saw(data).expect(kind, session=self._id, step=step, sender=sender)


def _reasons(lost: Mapping[int, Lost]) -> str:
    """Why clients were lost, the first few of them."""
    if not lost:
        return ""
    some = "; ".join(f"{party_name(client)}: {loss.reason}" for client, loss in sorted(lost.items())[:3])
    return f"; lost {len(lost)}: {some}"
