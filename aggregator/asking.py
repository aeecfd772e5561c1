"""Asking clients a question that only the sum of their answers tells: the way of a run, without a model.

The parts are those of training: a plan, a protection and its openers, cohorts of at least `min_cohort`, one opening a
round, transcript, journal, records and checkpoints. Everybody is asked, or a cohort that a sampler draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from aggregator import given
from aggregator.charging import totals_of
from aggregator.cohorts import cohorts_of
from aggregator.groups import RoundTask
from aggregator.history import History, RoundRecord, Tracker
from aggregator.runfolder import RunFolder, saying_how_to_resume
from aggregator.session import Session
from aggregator.spending import Spending
from aggregator.watching import Watched
from aggregator.work import Asking
from fedlearn import sampling
from fedlearn.configured import arguments_of, whole_number
from fedlearn.errors import BadInput, NothingLearned, PrivacyError, RoundVoid
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import Pool, TrainRequest, Transcript
from fedlearn.queries.base import Query
from fedlearn.sampling import Sampler, Uniform
from fedlearn.secure.base import Protection
from fedlearn.secure.counts import counting_codec
from fedlearn.secure.pki import Pki
from fedlearn.wording import many


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to a query.

    values   what the sums mean, in plain values by name
    totals   the last round's sums by name: int64, exact; float64 with noise in them under differential privacy
    history  a record for each round, with what it cost; clients: how many are in the sums
    """

    query: Query
    values: Mapping[str, Any]
    totals: Mapping[str, np.ndarray]
    clients: int
    history: History = field(repr=False)


def ask(
    query: Query | str,
    clients: Pool | Any,
    protection: Protection | str | None = None,
    *,
    cohort: int | None = None,
    sampler: Sampler | str | None = None,
    seed: int = 0,
    vocabulary: dict[str, Any] | None = None,
    folder: RunFolder | str | Path | None = None,
    resume: bool = False,
    trackers: Sequence[Tracker] = (),
    deadline: float | None = None,
    pki: Pki | str | Path | None = None,
    privacy: Privacy | str | None = None,
) -> Answer:
    """Ask all clients, or a cohort of them, and open nothing but the sum of their answers.

    query: the question, or its name as on the command line, `histogram:low=0,high=500`. The others are as in
    `Aggregator`; a question of several rounds is asked of everybody. A protection that is given by its name has the
    narrowest lanes that hold the counts exactly.

    Raises `BadInput` before anything is written where that cannot work, or where all clients refuse: a question that
    their data cannot answer, more examples than its `most`. Raises `NothingLearned` where no sum could be opened.
    """
    query, pool = given.as_query(query), given.as_pool(clients)
    inquiry = _Inquiry(query, pool, protection, cohort, given.as_sampler(sampler), seed, privacy)
    return inquiry.run(vocabulary or {}, folder, resume, given.as_trackers(trackers), deadline, pki)


class _Inquiry:
    """One question on its way."""

    def __init__(
        self, query: Query, pool: Pool, protection: Any, cohort: int | None, sampler: Sampler, seed: int, privacy: Any
    ):
        self._query, self._pool, self._sampler = query, pool, sampler
        self._size = sampling.check_cohort(None if cohort is None else whole_number("cohort", cohort), len(pool))
        if query.rounds > 1 and (self._size < len(pool) or type(sampler) is not Uniform):
            raise BadInput(
                f"query {query.name} is asked in {many(query.rounds, 'round')}, each about the same clients: leave "
                "cohort and sampler out"
            )
        sampler.check(len(pool), self._size)
        self._most = min(sampler.limit(self._size), len(pool))
        self._seed = whole_number("seed", seed, 0, given.LARGEST_SEED)
        self._privacy = given.as_privacy(privacy)
        codec = None if self._privacy else counting_codec(query.entries(), len(pool))
        self._protection = given.as_protection(protection, len(pool), codec)
        self._spending = self._spent(isinstance(protection, Protection))
        if query.rounds > 1:
            self._protection.check_cohorts(len(pool), len(pool))

    def _spent(self, fixed: bool) -> Spending | None:
        """The accounting of the question's privacy, in lanes that fit it; None without noise."""
        if (asked := self._privacy) is None:
            return None
        if asked.adaptive is not None:
            raise PrivacyError("adaptive has no effect on a question, whose clip its query knows: leave it out")
        if asked.unit != "client":
            raise PrivacyError("unit=example is for training: the answers of a question are each client's as a whole")
        population, length = len(self._pool), sum(each.length for each in self._query.entries().values())
        cohorts = cohorts_of(asked, self._protection, self._sampler, None, population, self._size, self._query.rounds)
        spending = Spending.of(asked, self._protection, fixed, length, cohorts, self._seed)
        self._protection = spending.protection
        return spending

    def run(
        self, vocabulary: dict[str, Any], folder: Any, resume: bool, trackers: Sequence[Tracker],
        deadline: float | None, pki: Any,
    ) -> Answer:  # fmt: skip
        kept = given.as_folder(folder, self._configuration(), resume)
        watched, spending = Watched(trackers), self._spending
        session = Session(
            self._pool, Asking(self._query), self._protection,
            vocabulary=vocabulary, seed=self._seed, cohort=self._size, sampled=self._most, rounds=self._query.rounds,
            deadline=deadline, pki=given.as_pki(pki, self._protection), watched=watched, spending=self._spending,
            sampling=sampling.described(
                self._sampler, len(self._pool), self._size, secret=bool(spending and spending.secret)
            ),
        )  # fmt: skip
        opened = kept.opened() if kept else nullcontext(Transcript())
        with saying_how_to_resume(kept), opened as transcript, closing(session):
            if self._spending is not None and kept is not None:
                self._spending.open(kept.path, kept.resumed)
            session.start(transcript, kept)
            answer = self._rounds(session, transcript, kept, watched)
            if kept is not None:
                kept.write_answer({"query": self._named(), "clients": answer.clients, "answer": answer.values})
                kept.write_outcome(answer.history.summary())
        return answer

    def _rounds(self, session: Session, transcript: Transcript, folder: RunFolder | None, watched: Watched) -> Answer:
        asked, totals, history = self._resumed(folder)
        first = len(history.rounds) + 1
        session.remember()
        watched.begin(self._query.rounds, first)
        try:
            for round in range(first, self._query.rounds + 1):
                record = RoundRecord(round, evaluated=False)
                asked, totals = self._round(session, transcript, record, asked, history)
                history.rounds.append(record)
                transcript.flush()
                if folder is not None:
                    spent = self._spending.state() if self._spending else {}
                    folder.keep(record, asked, {**totals, **spent}, None)
                watched.round(record)
        finally:
            watched.end()
        history.seconds = sum(sum(record.seconds.values()) for record in history.rounds)
        values = self._query.answer(asked, totals)
        return Answer(self._query, values, totals, history.rounds[-1].clients_ok, history)

    def _round(
        self, session: Session, transcript: Transcript, record: RoundRecord, asked: np.ndarray, history: History
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Have one sum opened: what is asked next, and the sum's parts by name."""
        draw = self._spending.cohort if self._spending else self._sampler.sample
        cohort = draw(self._seed, record.round, len(self._pool), self._size)
        task = RoundTask(record.round, tuple(cohort), TrainRequest(asked))
        try:
            with record.counting(transcript):
                collected = session.collect(task)
        except RoundVoid as void:
            raise NothingLearned(f"the question has no answer: {void}", history) from None
        ((_, aggregate),) = collected.opened  # one sum: the cohort is not cut into groups
        totals = dict(totals_of(aggregate, self._spending))
        if self._spending is not None:
            self._spending.enter(record, history)
        collected.enter(record)
        record.clients_failed = len(task.cohort) - record.clients_ok
        record.absent = dict(session.absent)
        return self._query.refine(asked, totals), totals

    def _resumed(self, folder: RunFolder | None) -> tuple[np.ndarray, dict[str, np.ndarray], History]:
        """The next round's request, the last one's sums, and the rounds so far."""
        checkpoint = folder.read_checkpoint() if folder is not None else None
        if checkpoint is None:
            return self._query.first(), {}, History()
        if self._spending is not None:
            self._spending.recall(checkpoint.state)
        return checkpoint.weights, checkpoint.state, History(checkpoint.records)

    def _named(self) -> dict[str, Any]:
        """The question's name and arguments, and a digest of what its first request holds, as a model's weights."""
        first = self._query.first()
        asked = {"request": sha256(first.tobytes()).hexdigest()} if first.size else {}
        return {"name": self._query.name, **self._query.arguments(), **asked}

    def _configuration(self) -> dict[str, Any]:
        """The facts that decide the answer, for a folder that is given as a path."""
        return {
            "query": self._named(),
            "protection": {"name": self._protection.name, **self._protection.arguments()},
            "seed": self._seed,
            "cohort": self._size,
            **({} if self._privacy is None else {"privacy": arguments_of(self._privacy)}),
        }
