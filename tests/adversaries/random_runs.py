"""Random runs in which one party misbehaves, and an oracle over what the aggregator came to read.

Seed by seed: a cohort, whole or in groups, with noise or without, and one client or opener that lies, worker or opener
that is killed or stopped, or run that is interrupted at a random moment and goes on. `check` says what must hold.
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
from typing import Any

from aggregator import Aggregator, RoundRecord, RunFolder
from clients import InlinePool, ProcessPool
from fedlearn.errors import FedlearnError, NothingLearned
from fedlearn.groups import cut
from fedlearn.privacy import Privacy
from fedlearn.privacy.ledger import Ledger
from fedlearn.protocol import FIRST_OPENER, Answer, Loss, Lost, Opened, PartyView, Step, Update
from fedlearn.sampling import Uniform
from fedlearn.secure import Masks, Threshold
from fedlearn.secure.base import Protection
from fedlearn.secure.threshold import ECHO
from tests.adversaries import lying_openers
from tests.adversaries.parties import LyingPool, resealed
from tests.toys import TOY_BITS, fitted, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

COUNT, WORKERS, ROUNDS, DEADLINE = 5, 5, 3, 4.0
IN_GROUPS, SIZE = 9, 3  # clients that are cut into groups, and of how many each
PROTECTIONS: dict[str, Callable[[], Protection]] = {
    "none": toy_plain,
    "paillier": toy_paillier,
    "masks": lambda: Masks(toy_codec()),
    "threshold": lambda: Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True),
}
Moment = tuple[int, str]  # a round, and a phase of it


@dataclass
class Run:
    """One run as it went.

    size: of its groups, 0 where the cohort is whole. noise: who adds it, "" for none. proven: no opener can change the
    model, as one that lies and adds the noise can. error: what ended it for good, as a user is told it in a line.
    """

    seed: int
    protection: Protection
    count: int
    cohort: int
    size: int
    noise: str
    what: str
    records: list[RoundRecord] = field(default_factory=list)
    model: bytes = b""
    proven: bool = True
    error: FedlearnError | None = None


class Struck(ProcessPool):
    """One of its workers is sent a signal right before a phase of a round."""

    def __init__(self, count: int, at: Moment, number: signal.Signals, worker: int):
        super().__init__(toy_clients(count), WORKERS, deadline=DEADLINE)
        self._at, self._number, self._worker = at, number, worker

    def exchange(self, step, broadcast, inboxes) -> Iterator[Answer]:
        if (step.round, step.phase, step.attempt) == (*self._at, 0):
            os.kill(self.process_ids[self._worker], self._number)
        return super().exchange(step, broadcast, inboxes)


class Disturbed(InlinePool):
    """Something happens right before, or halfway through, a phase of a round. Client `gone` never answers."""

    def __init__(self, count, at: Moment | None, happens: Callable[[], None] = lambda: None, halfway=False, gone=-1):
        super().__init__(toy_clients(count))
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

    def __init__(self, count: int, counted: Sequence[Sequence[int]]):
        super().__init__(toy_clients(count))
        self._counted = counted

    def exchange(self, step, broadcast, inboxes) -> Iterator[Answer]:
        for answer in super().exchange(step, broadcast, inboxes):
            yield answer if answer.client in self._counted[step.round - 1] else Lost(answer.client, "not counted")


def random_run(name: str, seed: int, path: Path) -> Run:
    """One of the protections, and all else by the seed."""
    rng = random.Random(f"{name}/{seed}")
    protection = PROTECTIONS[name]()
    kind = rng.choice(("whole", "whole", "groups", "noise"))
    size = SIZE if kind == "groups" else 0
    noise = rng.choice(protection.adds_noise) if kind == "noise" else ""
    count = IN_GROUPS if size else COUNT
    run = Run(seed, protection, count, rng.choice((count - 1, count)), size, noise, "")
    at = (rng.randrange(1, ROUNDS + 1), rng.choice(protection.phases))
    ways = [a_client_lies, a_worker_is_struck, a_run_goes_on]
    ways += [an_opener_is_struck, an_opener_lies] * (name in ("paillier", "threshold"))
    way = ways[seed % len(ways)]
    run.what = f"{name}, cohort {run.cohort}{f' in groups of {size}' * bool(size)}{f', noise by {noise}' * bool(noise)}"
    run.what += f", {way.__name__} at {at}"
    way(run, at, rng, path)
    return run


def a_client_lies(run: Run, at: Moment, rng: random.Random, path: Path) -> None:
    liar, lie, sent = rng.randrange(run.count), rng.choice(LIES), []

    def change(client: int, step: Step, data: bytes) -> bytes | list[bytes] | None:
        sent.append(data)
        return lie(data, sent, rng) if (step.round, step.phase) == at else data

    train(run, LyingPool(toy_clients(run.count), liar, change), path)


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
    train(run, Struck(run.count, at, number, rng.randrange(WORKERS)), path)


def an_opener_is_struck(run: Run, at: Moment, rng: random.Random, path: Path) -> None:
    number = rng.choice((signal.SIGKILL, signal.SIGSTOP))

    def strike() -> None:
        openers = [child.pid for child in multiprocessing.active_children() if child.name.startswith("opener")]
        os.kill(rng.choice(sorted(pid for pid in openers if pid)), number)

    train(run, Disturbed(run.count, at, strike, halfway=rng.random() < 0.5), path)
    if run.error is not None:  # its key is gone: the run goes on with another
        run.error = None
        train(run, InlinePool(toy_clients(run.count)), path, resume=True)


def an_opener_lies(run: Run, at: Moment, rng: random.Random, path: Path) -> None:
    party = FIRST_OPENER - (rng.randrange(3) if isinstance(run.protection, Threshold) else 0)
    phase = rng.choice((ECHO, "open")) if isinstance(run.protection, Threshold) else "open"
    lie = rng.choice([*lying_openers.LIES])
    run.what += f": opener {FIRST_OPENER - party} tells {lie} in {phase}"
    run.proven = run.noise != "opener"
    with lying_openers.lying({party: lie}, at[0], phase, run.seed):
        train(run, InlinePool(toy_clients(run.count)), path)
    if run.error is not None:  # it was given up, and its key with it: the run goes on with another
        run.error = None
        train(run, InlinePool(toy_clients(run.count)), path, resume=True)


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
    one, other = rng.sample(range(run.count), 2)
    try:
        disturbed = Disturbed(run.count, None if opened else at, interrupt, halfway=rng.random() < 0.5, gone=one)
        train(run, disturbed, path, evaluate=evaluate)
    except KeyboardInterrupt:
        train(run, Disturbed(run.count, None, gone=other), path, resume=True)


def train(run: Run, pool, path: Path, resume: bool = False, evaluate=None) -> None:
    model = toy_model()
    folder = RunFolder(path / "run", {}, {}, record=True, resume=resume)
    aggregator = Aggregator(
        model, toy_strategy(), run.protection, cohort=run.cohort, seed=run.seed, folder=folder, deadline=DEADLINE,
        evaluate=evaluate, **groups_and_noise(run, run.noise),
    )  # fmt: skip
    try:
        run.records = aggregator.fit(pool, ROUNDS).rounds
    except NothingLearned as failed:
        run.records = failed.history.rounds
    except FedlearnError as error:
        run.error = error
    run.model = model.vector.tobytes()


def groups_and_noise(run: Run, where: str) -> dict[str, Any]:
    """Of noise and cohorts that can be computed again."""
    noise = Privacy(noise=2.0, clip=0.3, where=where, honest=1.0, seed=run.seed) if where else None  # type: ignore[arg-type]
    return {"privacy": noise, "robust": "trimmed:f=0" if run.size else None, "group_size": run.size or None}


def check(run: Run, path: Path) -> None:
    """No opened sums tell of fewer clients than `min_cohort`, each was charged, the model is that of who counted."""
    assert run.error is None, run.error
    assert [record.round for record in run.records] == [*range(1, ROUNDS + 1)]
    if run.proven:
        assert run.model == honest_model(run)
    least = run.protection.min_cohort
    opened = sums_read(run, path / "run")
    for one, other in combinations(opened, 2):
        if one.round == other.round and one.clients & other.clients:
            assert one.clients == other.clients or len(one.clients ^ other.clients) >= least, (one, other)
    assert all(len(each.clients) >= least for each in opened), opened
    if run.noise:
        rows = {(row.session, row.round, row.attempt) for row in Ledger.load(path / "run/privacy.ledger").rows}
        assert rows >= {(each.session.hex(), each.round, each.attempt) for each in opened}


def honest_model(run: Run) -> bytes:
    """The model that those train, without a protection, whose updates counted."""
    counted = []
    for record in run.records:
        cohort = Uniform().sample(run.seed, record.round, run.count, run.cohort)
        if record.robust:
            counted.append([client for group in record.robust["groups"] for client in group])
            continue
        lost = sorted(record.lost)[: len(cohort) - record.clients_ok]
        counted.append([] if record.void else [client for client in cohort if client not in lost])
    model = toy_model()
    with TemporaryDirectory() as elsewhere:
        folder = RunFolder(Path(elsewhere) / "run", {}, {}, record=True)  # so that nobody adds up updates before
        where = "aggregator" if run.noise == "opener" else run.noise
        aggregator = Aggregator(
            model, toy_strategy(), toy_plain(), cohort=run.cohort, seed=run.seed, folder=folder,
            **groups_and_noise(run, where),
        )  # fmt: skip
        history = fitted(aggregator, Replayed(run.count, counted), ROUNDS)
    assert [record.void is None for record in history.rounds] == [record.void is None for record in run.records]
    return model.vector.tobytes()


@dataclass(frozen=True)
class Sum:
    """One that may have become readable, and whose updates are in it."""

    session: bytes
    round: int
    attempt: int
    clients: frozenset[int]


def sums_read(run: Run, folder: Path) -> list[Sum]:
    """Over all sessions and attempts."""
    sent: dict[tuple[bytes, int, int], set[int]] = defaultdict(set)
    opened: set[tuple[bytes, int, int, int]] = set()
    for message in PartyView.load(folder).messages:
        step = message.step
        attempt = (message.session, step.round, step.attempt)
        if isinstance(message.body, Update) and step.phase == "update" and message.recipient == -1:
            sent[attempt].add(message.sender)
        if isinstance(message.body, Opened):
            opened.add((*attempt, step.group))
        if step.phase == Masks.reveals:  # of a group that is left out nobody is asked
            asked = {message.sender, message.recipient}
            groups = enumerate(groups_of(run, step.round))
            opened.update((*attempt, group) for group, members in groups if members & asked)
    return [
        Sum(*attempt, frozenset(sent[*attempt] & groups_of(run, attempt[1])[group]))
        for *attempt, group in opened
        if sent[*attempt] & groups_of(run, attempt[1])[group]
    ]


def groups_of(run: Run, round: int) -> Sequence[frozenset[int]]:
    cohort = Uniform().sample(run.seed, round, run.count, run.cohort)
    return cut(run.seed, round, cohort, run.size) if run.size else [frozenset(cohort)]
