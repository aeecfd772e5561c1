"""Random runs in which one party misbehaves, and an oracle over what the aggregator came to read.

Seed by seed: a protection, a cohort, and one client or opener that lies, worker or opener that is killed or stopped, or
run that is interrupted at a random moment and goes on. `check` says what must hold of each.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

from aggregator import Aggregator, RoundRecord, RunFolder
from clients import InlinePool, ProcessPool
from fedlearn.errors import FedlearnError, NothingLearned
from fedlearn.protocol import FIRST_OPENER, Answer, Loss, Lost, Opened, PartyView, Step, Update
from fedlearn.sampling import Uniform
from fedlearn.secure import Masks, Threshold
from fedlearn.secure.base import Protection
from fedlearn.secure.threshold import ECHO
from tests.adversaries import lying_openers
from tests.adversaries.parties import LyingPool, resealed
from tests.toys import TOY_BITS, fitted, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

COUNT, ROUNDS, DEADLINE = 5, 3, 4.0
PROTECTIONS: dict[str, Callable[[], Protection]] = {
    "none": toy_plain,
    "paillier": toy_paillier,
    "masks": lambda: Masks(toy_codec()),
    "threshold": lambda: Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True),
}
Moment = tuple[int, str]  # a round, and a phase of it


@dataclass
class Run:
    """What came of one run. error: what ended it for good; it is one that a user is told in a line."""

    seed: int
    protection: Protection
    cohort: int
    what: str
    records: list[RoundRecord] = field(default_factory=list)
    model: bytes = b""
    error: FedlearnError | None = None


class Struck(ProcessPool):
    """One of its workers, a client each, is sent a signal right before a phase of a round."""

    def __init__(self, at: Moment, number: signal.Signals, worker: int):
        super().__init__(toy_clients(COUNT), COUNT, deadline=DEADLINE)
        self._at, self._number, self._worker = at, number, worker

    def exchange(self, step, broadcast, inboxes) -> Iterator[Answer]:
        if (step.round, step.phase, step.attempt) == (*self._at, 0):
            os.kill(self.process_ids[self._worker], self._number)
        return super().exchange(step, broadcast, inboxes)


class Disturbed(InlinePool):
    """Something happens right before, or halfway through, a phase of a round. Client `gone` never answers."""

    def __init__(self, at: Moment | None, happens: Callable[[], None] = lambda: None, halfway=False, gone: int = -1):
        super().__init__(toy_clients(COUNT))
        self._at, self._happens, self._halfway, self._gone = at, happens, halfway, gone

    def exchange(self, step, broadcast, inboxes) -> Iterator[Answer]:
        now = (step.round, step.phase) == self._at
        if now and not self._halfway:
            self._happens()
        for place, answer in enumerate(super().exchange(step, broadcast, inboxes)):
            if now and self._halfway and place == 1:
                self._happens()
            yield Lost(self._gone, "gone") if answer.client == self._gone else answer


class Replayed(InlinePool):
    """Of each round, these clients answer."""

    def __init__(self, counted: Sequence[Sequence[int]]):
        super().__init__(toy_clients(COUNT))
        self._counted = counted

    def exchange(self, step, broadcast, inboxes) -> Iterator[Answer]:
        for answer in super().exchange(step, broadcast, inboxes):
            yield answer if answer.client in self._counted[step.round - 1] else Lost(answer.client, "not counted")


def random_run(seed: int, path: Path) -> Run:
    rng = random.Random(seed)
    names = [*PROTECTIONS]
    protection = PROTECTIONS[names[seed % len(names)]]()
    run = Run(seed, protection, rng.choice((4, COUNT)), "")
    at = (rng.randrange(1, ROUNDS + 1), rng.choice(protection.phases))
    ways = [a_client_lies, a_worker_is_struck, a_run_goes_on]
    ways += [an_opener_is_struck, an_opener_lies] * (names[seed % len(names)] in ("paillier", "threshold"))
    way = ways[(seed // len(names)) % len(ways)]
    run.what = f"{names[seed % len(names)]}, cohort {run.cohort}, {way.__name__} at {at}"
    way(run, at, rng, path)
    return run


def a_client_lies(run: Run, at: Moment, rng: random.Random, path: Path) -> None:
    liar, lie, sent = rng.randrange(COUNT), rng.choice(LIES), []

    def change(client: int, step: Step, data: bytes) -> bytes | list[bytes] | None:
        sent.append(data)
        return lie(data, sent, rng) if (step.round, step.phase) == at else data

    train(run, LyingPool(toy_clients(COUNT), liar, change), path)


LIES: tuple[Callable[[bytes, list[bytes], random.Random], bytes | list[bytes] | None], ...] = (
    lambda data, sent, rng: None,
    lambda data, sent, rng: data[: rng.randrange(len(data))],
    lambda data, sent, rng: rng.randbytes(len(data)),
    lambda data, sent, rng: data + b"more",
    lambda data, sent, rng: [data, data],
    lambda data, sent, rng: resealed(data, sender=rng.choice((-5, COUNT, 999))),
    lambda data, sent, rng: resealed(data, step=Step(rng.randrange(9), 7, "update")),
    lambda data, sent, rng: resealed(data, session=bytes(16)),
    lambda data, sent, rng: sent[0],  # what it said first, once more
    lambda data, sent, rng: resealed(data, body=Loss(rng.choice((Loss.REFUSED, Loss.FAILED)))),
    lambda data, sent, rng: resealed(data, body=Update(rng.randbytes(rng.choice((0, 40, 10**5))))),
    lambda data, sent, rng: [resealed(data, sender=rng.randrange(COUNT)), data],  # in another's name, too
)


def a_worker_is_struck(run: Run, at: Moment, rng: random.Random, path: Path) -> None:
    number = rng.choice((signal.SIGKILL, signal.SIGSTOP))
    train(run, Struck(at, number, rng.randrange(COUNT)), path)


def an_opener_is_struck(run: Run, at: Moment, rng: random.Random, path: Path) -> None:
    number = rng.choice((signal.SIGKILL, signal.SIGSTOP))

    def strike() -> None:
        openers = [child.pid for child in multiprocessing.active_children() if child.name.startswith("opener")]
        os.kill(rng.choice(sorted(pid for pid in openers if pid)), number)

    train(run, Disturbed(at, strike, halfway=rng.random() < 0.5), path)
    if run.error is not None:  # its key is gone: the run goes on with another
        run.error = None
        train(run, InlinePool(toy_clients(COUNT)), path, resume=True)


def an_opener_lies(run: Run, at: Moment, rng: random.Random, path: Path) -> None:
    party = FIRST_OPENER - (rng.randrange(3) if isinstance(run.protection, Threshold) else 0)
    phase = rng.choice((ECHO, "open")) if isinstance(run.protection, Threshold) else "open"
    lie = rng.choice([*lying_openers.LIES])
    run.what += f": opener {FIRST_OPENER - party} tells {lie} in {phase}"
    with lying_openers.lying({party: lie}, at[0], phase, run.seed):
        train(run, InlinePool(toy_clients(COUNT)), path)
    if run.error is not None:  # it was given up, and its key with it: the run goes on with another
        run.error = None
        train(run, InlinePool(toy_clients(COUNT)), path, resume=True)


def a_run_goes_on(run: Run, at: Moment, rng: random.Random, path: Path) -> None:
    """It is interrupted, in a phase or between an opening and its checkpoint; then another client is missing."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    def evaluate(model: object) -> dict[str, float]:
        rounds.append(at[0])
        if opened and len(rounds) == at[0]:
            raise KeyboardInterrupt
        return {}

    rounds: list[int] = []
    opened = rng.random() < 0.5
    one, other = rng.sample(range(COUNT), 2)
    try:
        disturbed = Disturbed(None if opened else at, interrupt, halfway=rng.random() < 0.5, gone=one)
        train(run, disturbed, path, evaluate=evaluate)
    except KeyboardInterrupt:
        train(run, Disturbed(None, gone=other), path, resume=True)


def train(run: Run, pool, path: Path, resume: bool = False, evaluate=None) -> None:
    model = toy_model()
    folder = RunFolder(path / "run", {}, {}, record=True, resume=resume)
    aggregator = Aggregator(
        model, toy_strategy(), run.protection, cohort=run.cohort, seed=run.seed, folder=folder, deadline=DEADLINE,
        evaluate=evaluate,
    )  # fmt: skip
    try:
        run.records = aggregator.fit(pool, ROUNDS).rounds
    except NothingLearned as failed:
        run.records = failed.history.rounds
    except FedlearnError as error:
        run.error = error
    run.model = model.vector.tobytes()


def check(run: Run, path: Path) -> None:
    """No opened sums tell of fewer clients than `min_cohort`, and the model is that of those who counted."""
    assert run.error is None, run.error
    assert [record.round for record in run.records] == [*range(1, ROUNDS + 1)]
    assert run.model == honest_model(run)
    least = run.protection.min_cohort
    for round, cohorts in cohorts_read(path / "run").items():
        assert all(len(cohort) >= least for cohort in cohorts), (round, cohorts)
        for one, other in combinations(cohorts, 2):
            assert one == other or len(one ^ other) >= least, (round, one, other)


def honest_model(run: Run) -> bytes:
    """The model that those train, without a protection, whose updates counted."""
    counted = []
    for record in run.records:
        cohort = Uniform().sample(run.seed, record.round, COUNT, run.cohort)
        lost = sorted(record.lost)[: len(cohort) - record.clients_ok]
        counted.append([] if record.void else [client for client in cohort if client not in lost])
    model = toy_model()
    with TemporaryDirectory() as elsewhere:
        folder = RunFolder(Path(elsewhere) / "run", {}, {}, record=True)  # so that nobody adds up updates before
        aggregator = Aggregator(model, toy_strategy(), toy_plain(), cohort=run.cohort, seed=run.seed, folder=folder)
        history = fitted(aggregator, Replayed(counted), ROUNDS)
    assert [record.void is None for record in history.rounds] == [record.void is None for record in run.records]
    return model.vector.tobytes()


def cohorts_read(folder: Path) -> dict[int, list[frozenset[int]]]:
    """By round: whose updates stand in the sums that may have become readable, over all sessions and attempts."""
    sent: dict[tuple[bytes, int, int], set[int]] = defaultdict(set)
    opened: set[tuple[bytes, int, int]] = set()
    for message in PartyView.load(folder).messages:
        attempt = (message.session, message.step.round, message.step.attempt)
        if isinstance(message.body, Update) and message.step.phase == "update" and message.recipient == -1:
            sent[attempt].add(message.sender)
        if isinstance(message.body, Opened) or message.step.phase == Masks.reveals:
            opened.add(attempt)
    found: dict[int, list[frozenset[int]]] = defaultdict(list)
    for attempt in opened:
        found[attempt[1]].append(frozenset(sent[attempt]))
    return found
