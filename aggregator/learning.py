"""How a round moves the model: the request that goes out to its cohort, and the server's step on what comes back."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aggregator.compressing import Compressing
from aggregator.groups import RoundTask
from aggregator.history import RoundRecord
from aggregator.robust.defence import Defence, combined
from aggregator.runfolder import RunFolder
from aggregator.schedules import Factor, applied
from aggregator.session import Session
from fedlearn.errors import RoundVoid
from fedlearn.models.base import Model
from fedlearn.protocol import TrainRequest, Transcript
from fedlearn.strategies.base import State, Strategy
from fedlearn.training.flat import frozen_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learning:
    """All that decides a run's steps; complete when it is made.

    factor: the share of the server's step, by round. seed: of the robust rule's choices. folder: where the run is kept.
    """

    model: Model
    strategy: Strategy
    compressing: Compressing
    defence: Defence | None
    factor: Factor
    seed: int
    folder: RunFolder | None

    @cached_property
    def _frozen(self) -> np.ndarray | None:
        """The weights that stay as they are, bool (P,); None where all are trained."""
        return frozen_weights(self.model)

    def request(self, state: State, noted: State) -> TrainRequest:
        """The request to a cohort: the model's own vector, what the strategy broadcasts of its state, and `noted`.

        The vector is the model's memory, not a copy: the round's step moves what the request holds.
        """
        weights = self.model.vector
        own, bounds = self.strategy.broadcasts(weights.size), self.compressing.first()
        vectors = {name: np.asarray(state.get(name, np.zeros(n)), np.float32) for name, n in own.items()}
        vectors |= {name: state.get(name, first) for name, first in bounds.items()}
        return TrainRequest(weights, vectors | noted)

    def round(
        self, session: Session, transcript: Transcript, task: RoundTask, state: State
    ) -> tuple[RoundRecord, State]:
        """Run one round: its record, and the state after it."""
        record = RoundRecord(task.round, simulated_seconds=task.fates.seconds)
        with record.counting(transcript):
            state = self._learn(session, task, state, record)
        record.absent = dict(session.absent)
        record.clients_failed = len(task.cohort) - record.clients_ok
        return record, state

    def _learn(self, session: Session, task: RoundTask, state: State, record: RoundRecord) -> State:
        """Apply what a round's cohort learned; where the round is void, the model and the state stay as they were."""
        try:
            collected = session.collect(task)
            aggregate, choice, kept = combined(self.defence, collected.opened, self.seed, task, state)
        except RoundVoid as void:
            log.warning("round %d is void, the model stays as it was: %s", task.round, void)
            record.void = str(void)
            record.lost = dict(sorted(void.lost.items()))
            record.attempts = void.attempts
            return state
        self.compressing.enter(record, task.request.state, aggregate)
        mean = self.compressing.scaled(aggregate.mean)
        weights, state = self.strategy.server_step(task.request.weights, mean, state, collected.context)
        weights = applied(task.request.weights, weights, self.factor(task.round))
        vector = task.request.weights  # the model's own memory
        vector[:] = weights if self._frozen is None else np.where(self._frozen, vector, weights)
        session.settle(collected, self.folder.resumable if self.folder else ())
        collected.enter(record)
        record.describe(aggregate)
        record.robust = choice
        return {**state, **kept, **self.compressing.moved(task.request.state, aggregate)}
