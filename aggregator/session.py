"""One session: the parties agree on a plan, then each round's updates become one opened sum."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aggregator.asked import AskedOpeners
from aggregator.attempt import Attempt, WorkerDied
from aggregator.charging import Charges
from aggregator.checkpoints import Shelf
from aggregator.groups import Collected, RoundTask
from aggregator.journal import Entry, Journal
from aggregator.losses import ClientsLog, reasons
from aggregator.openers import Openers
from aggregator.parties import Parties
from aggregator.robust.defence import Defence
from aggregator.roster import enrolled
from aggregator.runfolder import RunFolder
from aggregator.watching import Outlook, Watched
from aggregator.work import Work
from fedlearn.autograd import recurrent
from fedlearn.autograd.recurrent import KernelPlan
from fedlearn.children import signals_later
from fedlearn.errors import BadInput, CodecError, RoundVoid
from fedlearn.groups import cut
from fedlearn.protocol import (
    EVERYBODY,
    Counted,
    Lost,
    OpenerKey,
    Pool,
    RunPlan,
    Step,
    Transcript,
)
from fedlearn.protocol.plan import SESSION_BYTES
from fedlearn.secure.base import Protection
from fedlearn.secure.pki import Pki
from fedlearn.secure.rounds import RoundLayout
from fedlearn.secure.signed import model_digest
from fedlearn.strategies.base import RoundContext
from fedlearn.travel import classes, description
from fedlearn.wording import many

ATTEMPTS = 3  # of one round, where workers die under it


class Session:
    """Aggregator, pool and openers under one plan; a session has its own keys.

    work: what clients do. cohort: clients whose vectors a round is complete with. sampled: clients that are asked, as
    many or more.
    sampling: as the plan has it, so that other parties check who takes part. watched: who is told how far it is.
    openers: from the session's number, those that it has, where they are not processes of this one.
    spending: of privacy, None without noise. defence: what cuts cohorts into groups and combines them; None where a
    cohort has one sum.
    Raises `BadInput` for what cannot work, before anything is started.
    """

    def __init__(
        self,
        pool: Pool,
        work: Work,
        protection: Protection,
        *,
        vocabulary: dict[str, Any],
        seed: int,
        cohort: int,
        sampled: int,
        rounds: int,
        stack: str = "auto",
        kernels: KernelPlan | None = None,
        deadline: float | None = None,
        pki: Pki | None = None,
        sampling: Mapping[str, Any] | None = None,
        defence: Defence | None = None,
        watched: Watched | None = None,
        spending: Charges | None = None,
        openers: Callable[[bytes], AskedOpeners] | None = None,
    ):
        _check_cohort_fits(protection, cohort, sampled)
        work.check(stack)
        self._pool = pool
        self._work = work
        self._protection = protection
        self._vocabulary = vocabulary
        self._seed = seed
        self._cohort = cohort
        self._sampled = sampled
        self._rounds = rounds
        self._stack = stack
        self._kernels = kernels or KernelPlan()
        self._deadline = deadline
        self._pki = pki
        self._sampling = sampling or {}
        self._defence = defence
        self._watched = watched or Watched(())
        self._remembering = work.keeps or bool(protection.reveals)
        self._spending = spending
        self._openers = openers
        terms = spending.terms if spending else None
        self._layout = work.layout(protection.codec, terms)
        self._described = description(protection)
        self._cleanup = ExitStack()

    def beside(self, pool: Pool, work: Work, protection: Protection, spending: Charges | None) -> Session:
        """Another session of the same run: of as many clients and rounds, sampled alike, with keys of its own.

        pool: of the same clients; raises `BadInput` for another number of them.
        """
        if len(pool) != len(self._pool):
            raise BadInput(
                f"{many(len(pool), 'client is', 'clients are')} to be asked beside {len(self._pool)} that train: give "
                "the same"
            )
        return Session(
            pool, work, protection, vocabulary={}, seed=self._seed, cohort=self._cohort, sampled=self._sampled,
            rounds=self._rounds, kernels=self._kernels, deadline=self._deadline, pki=self._pki, sampling=self._sampling,
            spending=spending,
        )  # fmt: skip

    def start(self, transcript: Transcript, folder: RunFolder | Shelf | None) -> None:
        """Start openers and clients: their keys come in, the plan goes out to everybody.

        folder: where what must outlive the session is kept; None where no other will go on with the run.
        """
        self._journal = folder.journal if folder else Journal()
        self._cleanup.callback(recurrent.use, recurrent.current())
        recurrent.use(self._kernels)  # here too: the model is evaluated in this process
        if self._remembering:
            self._client_states = folder.client_states if folder else self._unkept_states()
        self._watched.outlook(lambda: self._outlook(folder.rounds_done if isinstance(folder, RunFolder) else 0))
        session = secrets.token_bytes(SESSION_BYTES)
        openers = self._started_openers(session, folder.openers_memory if folder else None)
        self._cleanup.callback(openers.close)
        self._cleanup.callback(self._pool.close)
        keys = {}
        for party, data in openers.keys().items():
            keys[party] = transcript.saw(data).expect(OpenerKey, session=session, step=Step(0), sender=party).payload
        if self._deadline is not None and hasattr(self._pool, "wait_at_most"):
            self._pool.wait_at_most(self._deadline)
        self._pool.open()
        roster = enrolled(self._pool.enrol(session), session, transcript) if self._protection.has_roster else {}
        fold = self._protection.fold_in_worker and not transcript.record and self._defence is None
        plan = self._plan(session, keys, roster, fold)
        clients_log = folder.clients_log if folder else None
        self._parties = Parties(
            plan, self._protection, self._layout, self._pool, openers, transcript, self._journal,
            ClientsLog(clients_log), self._watched, self._spending, self._defence.least if self._defence else 1,
        )  # fmt: skip
        first = self._parties.say(Step(0), EVERYBODY, plan)
        openers.tell(first)
        self._pool.start(first, clients_log)

    def _unkept_states(self) -> Path:
        """A folder for what clients remember, of mode 0700, that ends with the session."""
        return Path(self._cleanup.enter_context(TemporaryDirectory(prefix="fedlearn-clients-")))

    def _started_openers(self, session: bytes, memory: Path | None) -> AskedOpeners:
        if self._openers is not None:
            return self._openers(session)
        coins, named = self._spending.coins if self._spending else None, [*classes(self._sampling)]
        return Openers(self._protection, session, memory, self._deadline, self._pki, named, coins)

    def _outlook(self, done: int) -> Outlook:
        protection = self._protection
        hidden = f"{protection.name}, {self._defence}" if self._defence else protection.name
        return Outlook(
            self._rounds, self._cohort, len(self._pool), self._work.does, self._work.name,
            hidden, protection.hiding, protection.price(len(self._layout)), done,
        )  # fmt: skip

    def _plan(self, session: bytes, keys: dict[int, bytes], roster: dict[int, bytes], fold: bool) -> RunPlan:
        return RunPlan(
            session=session,
            roster=roster,
            model=self._work.model,
            vocabulary=self._vocabulary,
            strategy=self._work.described,
            protection=self._described,
            keys=keys,
            layout=self._layout.to_dict(),
            sampled=self._sampled,
            rounds=self._rounds,
            kernels={"stack": self._stack, "fold": fold, "recurrent": self._kernels.to_dict()},
            seed=self._seed,
            sampling=self._sampling,
            privacy=self._spending.terms.to_dict() if self._spending else {},
            group_size=self._defence.group_size if self._defence else 0,
            compression=self._work.compression.to_dict(),
        )

    def remember(self, round: int = 0) -> None:
        """Have clients go on with what they kept after `round`, or a later one whose sum the journal holds.

        round: 0 also for work that they keep nothing of; of that they only know whose shares they gave away.
        """
        if self._remembering:
            opened = self._journal.last_opened
            if opened is not None and opened.round > round:
                self._pool.remember(self._client_states, opened.round, opened.clients)
            else:
                self._pool.remember(self._client_states, round)

    @property
    def parties(self) -> Parties:
        """The parties, after `start`."""
        return self._parties

    def settle(self, collected: Collected, resumable: Sequence[int]) -> None:
        """Tell the clients in a round's sum that it counted, where they keep state; resumable: as in `Pool.settle`."""
        if self._work.keeps and not collected.earlier:
            step = Step(collected.context.round, collected.context.attempt, "settle")
            notice = self._parties.say(step, EVERYBODY, Counted(), collected.clients)
            self._pool.settle(notice, collected.clients, resumable)

    @property
    def absent(self) -> dict[str, str]:
        """Openers that gave no answer in the last round, by name, and why."""
        return self._parties.openers.absent

    def close(self) -> None:
        """End pool and openers, so far as they were started."""
        with signals_later():
            self._cleanup.close()

    def collect(self, task: RoundTask) -> Collected:
        """Train a round's cohort and open the sum of its updates, in up to `ATTEMPTS` attempts with the same cohort.

        The last goes on without the clients of workers that die in it too.

        Raises `RoundVoid` with the reason where too few updates arrive or the openers refuse; `BadInput` where it is
        void because clients refused what they were asked to do. A round whose sum an earlier session opened is not
        trained again; one whose sum it asked for, only with the same clients.
        """
        self._parties.openers.absent = {}
        entry = self._journal.earlier(task.round)
        if entry is not None and (entry.sums or self._protection.reveals):
            return self._opened_earlier(entry, task)
        if self._defence is not None:
            task = replace(task, groups=cut(self._seed, task.round, task.cohort, self._defence.group_size))
            if len(task.groups) < self._defence.least:
                sampled = f"{many(len(task.cohort), 'client was', 'clients were')} sampled"
                groups = many(len(task.groups), "group")
                raise RoundVoid(f"{sampled}, in {groups}, {self._defence.least} are needed", attempts=0)
        if entry is not None:
            again = frozenset(entry.clients)  # sums of the same clients tell nothing more
            task = replace(task, cohort=tuple(entry.clients), groups=tuple(group & again for group in task.groups))
        least, most = self._parties.least, self._sampled
        if not least <= len(task.cohort) <= most:
            raise RoundVoid(
                f"{many(len(task.cohort), 'client was', 'clients were')} sampled, it takes {least} to {most}",
                attempts=0,
            )
        for number in range(ATTEMPTS):
            attempt = Attempt(self._parties, task, number, last=number == ATTEMPTS - 1)
            try:
                collected = attempt.run()
            except WorkerDied:
                continue
            except RoundVoid as void:
                self._parties.clients_log.name_once(task.round, attempt.lost.values())
                lost = {client: loss.reason for client, loss in attempt.lost.items()}
                raise RoundVoid(f"{void}{reasons(attempt.lost)}", lost, number + 1) from None
            self._parties.clients_log.name_once(task.round, attempt.lost.values())
            return collected
        raise AssertionError("the last attempt goes on without the clients of workers that died")

    def _opened_earlier(self, entry: Entry, task: RoundTask) -> Collected:
        """The sum that an earlier session opened and had no time to apply; `RoundVoid` where there is nothing."""
        lost = {client: Lost(client, reason) for client, reason in entry.lost.items()}
        if self._spending is not None:
            self._spending.counted(entry.clients)  # whether it is used or not
        void = ""
        if not entry.sums:
            void = "the run ended after its sum was asked for and before it was there: it is not opened a second time"
        elif entry.model != model_digest(task.request):
            void = "its sum was opened for another model than the run goes on with: it is not used, nor opened again"
        if void:
            raise RoundVoid(void, entry.lost, entry.attempt + 1)
        request = task.request
        layout = RoundLayout.of(self._parties.plan, self._layout, task.round, request.weights, request.state)
        opened = [(each, layout.decode(each.total, each.addends)) for each in entry.sums]
        addends = sum(each.addends for each in entry.sums)
        context = RoundContext(entry.round, self._rounds, entry.attempt, len(self._pool), addends)
        return Collected(opened, context, dict(entry.seconds), lost, earlier=True)


def _check_cohort_fits(protection: Protection, cohort: int, sampled: int) -> None:
    if sampled > protection.codec.addends:
        raise CodecError(
            f"a cohort of {many(sampled, 'client')} does not fit a codec of "
            f"{many(protection.codec.addends, 'addend')}: set addends={sampled} or more in the codec"
        )
    if cohort < protection.min_cohort:
        raise BadInput(
            f"a cohort of {many(cohort, 'client')} is under the minimum of {protection.min_cohort} that protection "
            f"{protection.name} opens a sum for: sample more clients, or lower min_cohort knowingly"
        )
