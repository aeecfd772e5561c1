"""The server side of federated training: sample, broadcast, collect, open, apply, evaluate, record, checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from aggregator.history import History, RoundRecord, Tracker
from aggregator.runfolder import RunFolder, model_sha256
from aggregator.sampling import check_cohort, sample_cohort
from aggregator.session import Collected, Session
from fedlearn.errors import BadInput, RoundVoid
from fedlearn.models.base import Model
from fedlearn.protocol import Pool, Transcript
from fedlearn.secure import Paillier
from fedlearn.secure.base import Protection
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import State, Strategy

log = logging.getLogger(__name__)
Evaluate = Callable[[Any], dict[str, float]]


class Aggregator:
    """Trains `model` in place, as the mean of what its clients learn.

    model       the global model; its parameters are replaced round by round
    strategy    the algorithm (default FedAvg)
    protection  what hides updates from this very object (default Paillier at 3072 bits)
    cohort      clients sampled each round (default: all)
    seed        of every reproducible choice; keys and randomisers never come from it
    vocabulary  how texts became token ids, for the plan (`Vocabulary.to_dict()`)
    evaluate    called with the model after each round: {"loss", "accuracy"...} on public data
    folder      where the run is kept (default: nowhere)
    trackers    told of every round
    stack       whether pools train clients side by side: "auto" (where it is quicker), "on" or "off"; the bits are
                the same
    """

    def __init__(
        self,
        model: Model,
        strategy: Strategy | None = None,
        protection: Protection | None = None,
        *,
        cohort: int | None = None,
        seed: int = 0,
        vocabulary: dict[str, Any] | None = None,
        evaluate: Evaluate | None = None,
        folder: RunFolder | None = None,
        trackers: Sequence[Tracker] = (),
        stack: str = "auto",
    ):
        self.model = model
        self.strategy: Strategy = strategy or FedAvg()
        self.protection: Protection = protection or Paillier()
        self.cohort = cohort
        self.seed = seed
        self.vocabulary = vocabulary or {}
        self.evaluate = evaluate
        self.folder = folder
        self.trackers = trackers
        self.stack = stack

    def fit(self, pool: Pool, rounds: int = 10) -> History:
        """Run the federation; returns its history, and leaves the trained weights in `model`.

        Raises `BadInput` before anything is written where the configuration cannot work, and where every
        client of a round refuses it. A round that fails in any other way is void and recorded.
        """
        if rounds < 1:
            raise BadInput(f"rounds is {rounds}, at least 1 is needed: raise it")
        size = check_cohort(self.cohort, len(pool))
        session = Session(
            pool, self.model, self.strategy, self.protection,
            vocabulary=self.vocabulary, seed=self.seed, cohort=size, rounds=rounds, stack=self.stack,
        )  # fmt: skip
        with ExitStack() as stack:
            transcript = self._open_folder(stack)
            stack.callback(session.close)
            stack.callback(transcript.close)
            session.start(transcript)
            history = self._rounds(session, transcript, len(pool), size, rounds)
            if self.folder is not None:
                self.folder.write_model(self.model.state_dict())
                self.folder.write_outcome({"state": "done", **history.summary()})
            return history

    def _open_folder(self, stack: ExitStack) -> Transcript:
        if self.folder is None:
            return Transcript()
        transcript = self.folder.begin()
        stack.push(lambda kind, error, trace: self._close_folder(error))
        return transcript

    def _close_folder(self, error: BaseException | None) -> None:
        assert self.folder is not None
        self.folder.sync()
        self.folder.end()
        if isinstance(error, BadInput) and not (self.folder.path / "metrics.jsonl").exists():
            self.folder.discard()
        elif error is not None:
            self.folder.write_outcome({"state": "failed", "reason": f"{type(error).__name__}: {error}"})

    def _rounds(self, session: Session, transcript: Transcript, population: int, size: int, rounds: int) -> History:
        began = time.perf_counter()
        state, history = self._resume()
        first = len(history.rounds) + 1
        for tracker in self.trackers:
            tracker.begin(rounds, first)
        try:
            for round in range(first, rounds + 1):
                cohort = sample_cohort(self.seed, round, population, size)
                record, state = self._round(session, transcript, round, cohort, state)
                history.rounds.append(record)
                log.info("round %d of %d: %d clients, %s", round, rounds, record.clients_ok, record.headline())
                self._keep(transcript, state, history)
                for tracker in self.trackers:
                    tracker.round(record)
        finally:
            for tracker in self.trackers:
                tracker.end()
        history.model_sha256 = model_sha256(self.model.state_dict())
        history.bytes_up = sum(record.bytes_up for record in history.rounds)
        history.bytes_down = sum(record.bytes_down for record in history.rounds)
        history.seconds = time.perf_counter() - began
        return history

    def _round(
        self, session: Session, transcript: Transcript, round: int, cohort: list[int], state: State
    ) -> tuple[RoundRecord, State]:
        record = RoundRecord(round)
        up, down = transcript.bytes_up, transcript.bytes_down
        weights = self.model.vector
        try:
            collected = session.collect(round, cohort, weights)
        except RoundVoid as void:
            log.warning("round %d is void, the model stays as it was: %s", round, void)
            record.void = str(void)
            record.clients_failed = len(cohort)
        else:
            mean = collected.aggregate.mean
            weights[:], state = self.strategy.server_step(weights, mean, state)
            self._describe(record, collected)
        record.bytes_up, record.bytes_down = transcript.bytes_up - up, transcript.bytes_down - down
        self._evaluate(record)
        return record, state

    def _describe(self, record: RoundRecord, collected: Collected) -> None:
        aggregate = collected.aggregate
        record.clients_ok = aggregate.addends
        record.clients_failed = len(collected.lost)
        record.lost = {client: loss.reason for client, loss in sorted(collected.lost.items())}
        record.attempts = collected.attempts
        record.seconds = collected.seconds
        record.loss = record.train_loss = aggregate.loss
        record.weight = aggregate.weight
        record.clipped = aggregate.clipped
        record.capped = aggregate.capped
        record.error_bound = aggregate.error_bound

    def _evaluate(self, record: RoundRecord) -> None:
        if self.evaluate is None:
            return
        began = time.perf_counter()
        self.model.eval()
        record.metrics = dict(self.evaluate(self.model))
        record.loss = record.metrics.pop("loss", record.loss)
        record.seconds["evaluate"] = time.perf_counter() - began

    def _resume(self) -> tuple[State, History]:
        """Strategy state and history to go on from: empty, or the newest checkpoint's, its weights loaded."""
        kept = self.folder.read_checkpoint() if self.folder is not None else None
        if kept is None:
            return {}, History()
        arrays, records = kept
        assert self.folder is not None
        self.folder.restart(records)
        self.model.vector[:] = arrays.pop("weights")
        return arrays, History(records)

    def _keep(self, transcript: Transcript, state: State, history: History) -> None:
        """Put the round on disk before anybody is told of it."""
        transcript.flush()
        if self.folder is None:
            return
        arrays = {"weights": np.asarray(self.model.vector), **state}
        if self.folder.keep(history.rounds[-1], arrays):
            self.folder.write_model(self.model.state_dict())
