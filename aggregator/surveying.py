"""Evaluation by clients from opened sums: the clients of a round measure the new model on their own examples.

It is a question (`fedlearn.queries.evaluation`) in a session of its own beside the run's, with keys of its own. The
protection, the openers' rules, sampling, transcript and ledger are the run's. Nobody reads one client's answer; the sum
says how good the model is on all their examples, and to whom.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, Protocol

import numpy as np

from aggregator.charging import Surcharge, totals_of
from aggregator.examining import OneByOne, check_examining
from aggregator.given import as_pool
from aggregator.groups import RoundTask
from aggregator.history import RoundRecord
from aggregator.runfolder import RunFolder
from aggregator.session import Session
from aggregator.spending import Spending
from aggregator.work import Asking
from fedlearn.configured import real_number, whole_number
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, RoundVoid
from fedlearn.models.base import Model
from fedlearn.protocol import ClientId, TrainRequest, Transcript
from fedlearn.queries.classes import MOST_CLASSES
from fedlearn.queries.evaluation import Evaluation
from fedlearn.secure.base import Protection
from fedlearn.secure.counts import counting_codec

log = logging.getLogger(__name__)
MOST = 2**16 - 1  # labels of one client, where nobody says so
WHAT, USUAL = "evaluation by clients", "20 suits clients with 20 examples"
SAID = (
    "accuracy", "f1", "worst_tenth", "loss",
    *(f"accuracy_p{tenth}0" for tenth in range(1, 10)),
    "loss_p10", "loss_p50", "loss_p90",
)  # fmt: skip


class Survey:
    """Has the clients of a round measure the model, as `client_accuracy`, `client_f1`, `client_accuracy_p10`...

    clients: a function that gives a pool of them, or the clients themselves. classes: how many their labels name; of a
    text its characters. most: labels of one client, which is public. bins: of the histograms of clients. loss_step:
    nats in a bin of losses. clip: the largest l2 norm of one client's counts, needed where the run has noise.
    """

    names = tuple(f"client_{name}" for name in SAID)

    def __init__(
        self, clients: Callable[[], Any] | Any, classes: int, *, most: int = MOST, bins: int = 50,
        loss_step: float = 0.1, clip: float | None = None,
    ):  # fmt: skip
        self._clients = clients if callable(clients) else lambda: clients
        self._classes = whole_number("classes", classes, 2, MOST_CLASSES)
        self._most = most
        self._bins: dict[str, Any] = {"bins": bins, "loss_step": loss_step}
        self.clip = None if clip is None else real_number("clip", clip, above=0, usual=USUAL)

    def begin(
        self, session: Session, model: Model, protection: Protection, spending: Spending | None, sampled: int,
        folder: RunFolder | None,
    ) -> SurveySession:  # fmt: skip
        """The survey of one run; raises `BadInput` for what cannot be asked. The others: as in `Session`."""
        query = replace(Evaluation.of(model, self._classes, self._most), **self._bins)
        if spending is None and self.clip is not None:
            raise BadInput(f"{WHAT} has clip={self.clip:g}, which has no effect without noise: leave it out")
        if spending is None:
            surcharge, hiding = None, _recoded(protection, counting_codec(query.entries(), sampled))
        else:
            surcharge, hiding = Surcharge.of(spending, self.clip, WHAT), protection
        pool = as_pool(self._clients())
        return SurveySession(query, session.beside(pool, Asking(query), hiding, surcharge), surcharge, folder)


class ClientMeasures(Protocol):
    """Has the clients of a round measure the new model, and enters the results in the round's record."""

    def start(self, transcript: Transcript) -> None: ...

    def __call__(self, record: RoundRecord, cohort: Sequence[ClientId], weights: np.ndarray) -> None:
        """Ask about one round. cohort: clients that were asked to train. weights: of the new model, float32 (P,)."""
        ...

    def close(self) -> None: ...


def client_measures(
    given: Survey | bool, session: Session, model: Model, protection: Protection, spending: Spending | None,
    sampled: int, folder: RunFolder | None,
) -> ClientMeasures:  # fmt: skip
    """The way to ask a run's clients. The others: as in `Survey.begin`. Raises `BadInput` where none may be asked."""
    if isinstance(given, Survey):
        return given.begin(session, model, protection, spending, sampled, folder)
    if given:
        check_examining(protection, spending is not None)
    return OneByOne(session)


class SurveySession:
    """A survey on its way: a session beside that of training, and what it enters in records."""

    def __init__(self, query: Evaluation, session: Session, surcharge: Surcharge | None, folder: RunFolder | None):
        self._query, self._session, self._surcharge, self._folder = query, session, surcharge, folder

    def start(self, transcript: Transcript) -> None:
        """Have all parties agree, before the first round: an opener may ask for a passphrase."""
        self._transcript = transcript
        self._session.start(transcript, self._folder.make_survey() if self._folder else None)
        self._session.remember()

    def __call__(self, record: RoundRecord, cohort: Sequence[ClientId], weights: np.ndarray) -> None:
        """Enter in a round's record how the clients in its sum measure the new model."""
        if not np.isfinite(weights).all():
            log.warning("the model of round %d has weights that are not finite: no client measures it", record.round)
            return
        clients = tuple(client for client in cohort if client not in record.lost)
        try:
            with record.counting(self._transcript):
                collected = self._session.collect(RoundTask(record.round, clients, TrainRequest(weights)))
        except RoundVoid as void:
            log.warning("clients' measures of the model of round %d are not opened: %s", record.round, void)
            return
        ((_, aggregate),) = collected.opened
        values = self._query.answer(weights, totals_of(aggregate, self._surcharge))
        self._enter(record, values, aggregate.addends)

    def _enter(self, record: RoundRecord, values: Mapping[str, Any], clients: int) -> None:
        found = dict(values)
        for name in ("accuracy", "loss"):
            found |= {f"{name}_{decile}": value for decile, value in (values[f"{name}_deciles"] or {}).items()}
        record.metrics |= {f"client_{name}": float(found[name]) for name in SAID if found.get(name) is not None}
        record.metrics["client_clients"] = float(clients)
        record.confusion = values["confusion"]

    def close(self) -> None:
        self._session.close()


def _recoded(protection: Protection, codec: FixedPoint) -> Protection:
    """The same protection with other lanes, by the same keys."""
    if is_dataclass(protection):
        return replace(protection, codec=codec)
    return protection.rebuild({**protection.arguments(), "codec": codec.__dict__})
