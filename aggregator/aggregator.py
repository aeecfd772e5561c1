"""The server side of federated training: sample, broadcast, collect, open, apply, evaluate, record, checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aggregator import given
from aggregator.cohorts import cohorts_of
from aggregator.compressing import Compressing
from aggregator.exam import Evaluate, Exam
from aggregator.faults import NO_FAULTS, Faults
from aggregator.groups import RoundTask, RunSizes
from aggregator.history import History, Tracker
from aggregator.learning import Learning
from aggregator.robust.base import Rule
from aggregator.robust.defence import defend, groups_in
from aggregator.runfolder import RunFolder, model_sha256, saying_how_to_resume
from aggregator.schedules import Factor, factor_of
from aggregator.session import Session
from aggregator.showing import aggregator_html
from aggregator.spending import Spending, check_strategy
from aggregator.surveying import ClientMeasures, Survey, client_measures
from aggregator.trackers import everybody
from aggregator.watching import Watched
from aggregator.work import Training
from fedlearn import sampling
from fedlearn.autograd.program import recorded_steps
from fedlearn.autograd.recurrent import KernelPlan, choose
from fedlearn.configured import arguments_of, real_number, whole_number
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import NothingLearned
from fedlearn.models.base import Model
from fedlearn.nn.recurrent import recurrent_shapes
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import Pool, Transcript
from fedlearn.sampling import Sampler, check_cohort
from fedlearn.secure.base import Protection
from fedlearn.secure.compression import Compression
from fedlearn.secure.pki import Pki
from fedlearn.strategies.base import State, Strategy
from fedlearn.training.flat import weights_in
from fedlearn.wording import many

log = logging.getLogger(__name__)


class Aggregator:
    """Trains `model` in place, as the mean of what its clients learn.

    model       the global model; its parameters are replaced round by round
    strategy    the algorithm, or its name as on the command line, `fedprox:mu=0.1` (default FedAvg)
    protection  what hides updates from this very object, or its name, `none`, `masks:20`, `threshold:2/3` (default
                Paillier at 3072 bits)
    cohort      clients sampled each round (default: all)
    sampler     which ones, or its name, `poisson` (default: uniformly without replacement)
    seed        of every reproducible choice, 0 to 2^64 - 1; keys and randomisers never come from it, nor do the first
                weights of `model`, which are drawn where it is built: give its layers an rng
    vocabulary  how texts became token ids, for the plan: a Vocabulary, or what its to_dict() gave
    server_lr_schedule  what part of the server's step is taken, round by round: a schedule by name, as `cosine` or
                `step:10,gamma=0.5`, or a function of the round (default: the whole step)
    evaluate    called with the model after each round: {"loss", "accuracy"...} on public data
    evaluate_every  or after so many rounds, and after the last
    evaluate_clients  a Survey has clients of the round say in a sum how the model does on their own examples; True has
                each say it by itself, without protection only
    watch       a metric: the model is kept that was best by it. `loss` and its like are better when they are lower,
                others when they are higher; `name:min` and `name:max` say so
    stop_after  so many evaluations without a better one by `watch` (default: loss) end the run
    folder      where the run is kept: a RunFolder, or the path of a new one (default: nowhere)
    resume      go on with the run in this folder, a path, to as many rounds as `fit` says
    trackers    watch the run, round by round; one that fails is left out from then on
    faults      who vanishes, crashes or comes too late, or the same as text, `dropout=0.1` (default: nobody)
    stack       whether pools train clients side by side, to the same bits: "auto" (where it is quicker), "on" or "off"
    kernels     how steps are computed: "numpy", "numba" or "measure"; may change recurrent layers' bits; chosen once
    deadline    seconds that an opener is waited for, and a worker where its pool has no deadline of its own (default:
                twenty times the longest answer so far, a minute at least)
    pki         clients' keys that were agreed outside of the aggregator, or their folder: key holder and trustees open
                nothing of others. The clients' own check is their pool's (`clients.Policy`)
    privacy     noise that makes the run differentially private, or the same as text, `epsilon=3,clip=0.3` (default:
                none). All clients weigh 1 then, and their losses and counts are not known
    robust      a rule in the place of the mean, or its name, `nnm+trimmed:f=2` (default: none)
    group_size  clients of a group: the rule combines groups' means, each opened under the rules that hold for a cohort
                (default: 1 where the aggregator reads single updates, else the protection's min_cohort)
    compression  makes updates smaller, or the same as text, `auto=true,feedback=true,share=0.1` (default: none)

    Anything else is refused as `BadInput`, with what was expected.
    """

    def __init__(
        self,
        model: Model,
        strategy: Strategy | str | None = None,
        protection: Protection | str | None = None,
        *,
        cohort: int | None = None,
        sampler: Sampler | str | None = None,
        seed: int = 0,
        vocabulary: Vocabulary | Mapping[str, Any] | None = None,
        server_lr_schedule: str | Factor | None = None,
        evaluate: Evaluate | None = None,
        evaluate_every: int = 1,
        evaluate_clients: Survey | bool = False,
        watch: str | None = None,
        stop_after: int | None = None,
        folder: RunFolder | str | Path | None = None,
        resume: bool = False,
        trackers: Sequence[Tracker] = (),
        faults: Faults | str | None = None,
        stack: str = "auto",
        kernels: str = "numpy",
        deadline: float | None = None,
        pki: Pki | str | Path | None = None,
        privacy: Privacy | str | None = None,
        robust: Rule | str | None = None,
        group_size: int | None = None,
        compression: Compression | str | None = None,
    ):
        self._exam = Exam(evaluate, evaluate_every, watch, stop_after, evaluate_clients)
        self.model = given.as_model(model)
        self.strategy = given.as_strategy(strategy)
        self.protection = given.as_protection(protection)
        self._protection_given = protection
        self.cohort = None if cohort is None else whole_number("cohort", cohort)
        self.sampler = given.as_sampler(sampler)
        self.seed = whole_number("seed", seed, 0, given.LARGEST_SEED)
        self.vocabulary = given.as_vocabulary(vocabulary)
        self.server_lr_schedule = server_lr_schedule
        self.trackers = given.as_trackers(trackers)
        self.history = History()  # of the last fit, as far as it came
        self.best_weights: np.ndarray | None = None  # of the model that was best by the metric to watch, float32 (P,)
        self.faults = given.as_faults(faults)
        self.stack = stack
        self.kernels = kernels
        self.deadline = None if deadline is None else real_number("deadline", deadline, above=0, usual="60")
        self.pki = given.as_pki(pki, self.protection)
        self.privacy = given.as_privacy(privacy, self.vocabulary)
        self.robust = given.as_robust(robust, group_size)
        self.group_size = None if group_size is None else whole_number("group_size", group_size, 1)
        self.compression = given.as_compression(compression)
        self.folder = given.as_folder(folder, self._configuration(), resume)

    _repr_html_ = aggregator_html

    def __repr__(self) -> str:
        model = f"{type(self.model).__name__} of {many(weights_in(self.model), 'weight')}"
        how = f"{self.strategy.name}, {self.protection.name}"
        return f"<Aggregator of {model}: {how}, {many(len(self.history.rounds), 'round')} run>"

    def _configuration(self) -> dict[str, Any]:
        """The facts that decide a run's numbers, for a folder that is given as a path."""
        return {
            "model": f"{type(self.model).__name__} of {many(weights_in(self.model), 'weight')}",
            "strategy": {"name": self.strategy.name, **self.strategy.arguments()},
            "protection": {"name": self.protection.name, **self.protection.arguments()},
            "cohort": self.cohort,
            "seed": self.seed,
            **({} if self.server_lr_schedule is None else {"server_lr_schedule": str(self.server_lr_schedule)}),
            **({} if self.privacy is None else {"privacy": arguments_of(self.privacy)}),
            **({} if self.robust is None else {"robust": str(self.robust), "group_size": self.group_size}),
            **({"compression": found} if (found := self.compression.to_dict()) else {}),
        }

    def fit(self, clients: Pool | Any, rounds: int = 10, *, progress: bool | None = None) -> History:
        """Run the federation; returns its history, and leaves the trained weights in `model`.

        clients: a pool, or the clients themselves, which then run in this process: `Client`s or pairs (X, y).
        progress: whether a line on standard error says how far it is; by default where that is a terminal or a
        notebook, and no tracker shows as much.
        Where it is interrupted, `history` holds the rounds that were run, and `model` what they made.

        A round that fails is void and recorded. Raises `BadInput` before anything is written where the configuration
        cannot work, and where every client of a round refuses it; `FedlearnError` where every client of a round
        fails alike, with the exception's traceback as its cause; `NothingLearned` where no round counts.
        """
        rounds = given.as_rounds(rounds, self.folder)
        pool = given.as_pool(clients)
        sizes = self._sizes(len(pool), rounds)
        self._fit_protection(sizes)
        factor = factor_of(self.server_lr_schedule, rounds)
        self._exam.check(self.model)
        spending = self._spending(sizes)
        compressing = Compressing.agreed(
            self.compression, self.protection.codec, self.strategy, weights_in(self.model), self.privacy, self.robust
        )
        defence = defend(
            self.robust, self.group_size, sizes.cohort, self.protection, self.sampler, self.strategy, self.model
        )
        learning = Learning(self.model, self.strategy, compressing, defence, factor, self.seed, self.folder)
        kernels, watched = self._kernel_plan(), Watched(everybody(self.trackers, progress))
        session = self._session(pool, sizes, learning, spending, kernels, watched)
        measures = client_measures(
            self._exam.of_clients, session, self.model, self.protection, spending, sizes.addends, self.folder
        )
        opened = self.folder.opened(kernels.to_dict()) if self.folder else nullcontext(Transcript())
        with saying_how_to_resume(self.folder), opened as transcript, closing(session), closing(measures):
            if spending is not None and self.folder is not None:
                spending.open(self.folder.path, self.folder.resumed)
            session.start(transcript, self.folder)
            measures.start(transcript)
            history = self._rounds(session, transcript, watched, sizes, spending, measures, learning)
            if self.folder is not None:
                self.folder.write_model(self.model.state_dict())
                self.folder.write_outcome(history.summary())
        if not history.counted:
            failed = NothingLearned(history.why_nothing_counted(), history)
            failed.clients_log = self.folder.clients_log if self.folder else None
            raise failed
        return history

    def _sizes(self, population: int, rounds: int) -> RunSizes:
        """The numbers of a run; raises `BadInput` where so many clients cannot be sampled."""
        cohort = check_cohort(self.cohort, population)
        sampled = self.faults.sampled(cohort, population) if self.faults else cohort
        self.sampler.check(population, sampled)
        return RunSizes(population, cohort, sampled, min(self.sampler.limit(sampled), population), rounds)

    def _fit_protection(self, sizes: RunSizes) -> None:
        """Have a protection that was given by its name hold as many addends; raises `BadInput` for unsafe cohorts."""
        self.protection = given.as_protection(self._protection_given, sizes.addends, clips=self.compression.auto)
        same_size = not self.faults and self.robust is None and self.sampler.limit(sizes.cohort) == sizes.cohort
        if sizes.rounds > 1 and same_size:  # then it is known how many clients any two sums share
            self.protection.check_cohorts(sizes.cohort, sizes.population)

    def _spending(self, sizes: RunSizes) -> Spending | None:
        """The accounting of the run's privacy, in lanes that fit it; None without noise."""
        if (asked := self.privacy) is None:
            return None
        groups = groups_in(self.robust, self.group_size, sizes.cohort, self.protection)
        cohorts = cohorts_of(
            asked, self.protection, self.sampler, self.faults, sizes.population, sizes.cohort, sizes.rounds, groups,
            self._exam.surveys(sizes.rounds),
        )  # fmt: skip
        fixed, weights = isinstance(self._protection_given, Protection), self.model.vector.size
        check_strategy(self.strategy, weights, asked.unit)
        spending = Spending.of(asked, self.protection, fixed, weights, cohorts, self.seed)
        self.protection = spending.protection
        return spending

    def _session(
        self, pool: Pool, sizes: RunSizes, learning: Learning, spending: Spending | None, kernels: KernelPlan,
        watched: Watched,
    ) -> Session:  # fmt: skip
        secret = spending is not None and spending.secret
        return Session(
            pool, Training(self.model, self.strategy, learning.compressing.compression), self.protection,
            vocabulary=self.vocabulary, seed=self.seed, cohort=sizes.cohort, sampled=sizes.addends, rounds=sizes.rounds,
            stack=self.stack, kernels=kernels, deadline=self.deadline, pki=self.pki,
            sampling=sampling.described(self.sampler, sizes.population, sizes.sampled, secret=secret),
            watched=watched, spending=spending, defence=learning.defence,
        )  # fmt: skip

    def _kernel_plan(self) -> KernelPlan:
        """How steps are computed: in a resumed run as in its first session."""
        if self.folder is not None and self.folder.kernels:
            return KernelPlan.from_dict(self.folder.kernels)
        shapes = recurrent_shapes(self.model)
        return choose(self.kernels, shapes, self.strategy.arguments().get("batch_size", 1))

    def _rounds(
        self, session: Session, transcript: Transcript, watched: Watched, sizes: RunSizes, spending: Spending | None,
        measures: ClientMeasures, learning: Learning,
    ) -> History:  # fmt: skip
        began = time.perf_counter()
        state, history = self._resume()
        if spending is not None:
            spending.recall(state)
        first = len(history.rounds) + 1
        session.remember(first - 1)
        self.history = history
        self._exam.recall(history.rounds)
        watched.begin(sizes.rounds, first)
        try:
            for round in range(first, sizes.rounds + 1):
                if self._exam.over:
                    break
                draw = spending.cohort if spending else self.sampler.sample
                cohort = draw(self.seed, round, sizes.population, sizes.sampled)
                wanted = sizes.cohort if sizes.sampled > sizes.cohort else len(cohort)
                fates = self.faults.draw(self.seed, round, cohort, wanted) if self.faults else NO_FAULTS
                request = learning.request(state, spending.beside if spending else {})
                task = RoundTask(round, tuple(cohort), request, fates)
                record, state = learning.round(session, transcript, task, state)
                weights = request.weights  # the model's own memory: the step has moved it
                ask = partial(measures, record, cohort, weights)
                self._exam.take(record, self.model, weights, round == sizes.rounds, ask)
                if spending is not None:
                    spending.enter(record, history)
                history.rounds.append(record)
                clients = many(record.clients_ok, "client")
                log.info("round %d of %d: %s, %s", round, sizes.rounds, clients, record.headline())
                if self._exam.note(record):
                    self._keep_best(weights)
                self._keep(transcript, weights, state | (spending.state() if spending else {}), history)
                watched.round(record)
        finally:
            watched.end()
        history.best, history.stopped = self._exam.best, self._exam.verdict
        history.model_sha256 = model_sha256(self.model, self.folder)
        history.recorded_bytes = recorded_steps().bytes
        before = sum(sum(record.seconds.values()) for record in history.rounds[: first - 1])
        history.seconds = before + time.perf_counter() - began
        return history

    def _keep_best(self, weights: np.ndarray) -> None:
        self.best_weights = weights.copy()
        if self.folder is not None:
            self.folder.write_best(self.model.state_dict())

    def _resume(self) -> tuple[State, History]:
        """Strategy state and history to go on from: empty, or the newest checkpoint's, its weights loaded."""
        checkpoint = self.folder.read_checkpoint(self.model.vector.size) if self.folder is not None else None
        if checkpoint is None:
            return {}, History()
        self.model.vector[:] = checkpoint.weights
        return checkpoint.state, History(checkpoint.records)

    def _keep(self, transcript: Transcript, weights: np.ndarray, state: State, history: History) -> None:
        """Put the round on disk before anybody hears of it."""
        transcript.flush()
        if self.folder is not None:
            self.folder.keep(history.rounds[-1], weights, state, self.model.state_dict)
