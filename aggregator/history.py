"""The history of a run, a record a round, and the seam for whoever wants to watch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from types import UnionType
from typing import Any, Protocol, get_args, get_origin, get_type_hints, runtime_checkable

from aggregator import showing
from fedlearn.errors import BadInput
from fedlearn.protocol import Transcript
from fedlearn.secure.aggregate import Aggregate
from fedlearn.untrusted import are_numbers
from fedlearn.wording import many


@dataclass
class RoundRecord:
    """One round as the aggregator knows it: totals of the cohort, nothing about one client.

    clients_ok   whose updates are in the sum; clients_failed: the others that were sampled
    attempts     how often the round was tried: again where a worker died under it
    evaluated    False where the model was not measured after this round, so that there is no loss to show
    evaluation_loss  of the new global model, where the evaluation says one
    train_loss   the mean of the cohort's training losses, in nats
    metrics      the evaluation of the new global model (accuracy, f1...), but for its loss
    weight, clipped, capped, error_bound: as in `fedlearn.secure.layout.Aggregate`; None for what is not known
    bound        the largest value that a client could send in this round, by output, where that is not fixed
    bytes_up, bytes_down: clients to aggregator and back, headers included; bytes_openers: aggregator and openers
    seconds      by phase: each of the protection's, "open", "evaluate"
    simulated_seconds: until the round closed, where faults are simulated
    lost         client -> reason; under masks, or where faults are simulated, also of clients whose update counts
                 and that were lost after it
    by_client    what each client of the round measures of the new model on its own examples, where they are asked
    confusion    how many of each class (outer) the new model takes for each (inner), over all of the clients' own
                 examples, where a sum of them is asked for; with noise in it under differential privacy
    absent       openers that gave no answer, or a wrong one -> why, by name
    void         why the round changed nothing; None for a good one
    epsilon      what all rounds so far cost in privacy to who sees the models; None without noise
    epsilon_aggregator: the same to who knows the cohorts, infinite (null in metrics.jsonl) where it sees exact sums
    unit         what both are of: "client", all that one holds, or "example"; None without noise
    clip         the largest l2 norm of an update in this round, where it adapts; None where it is fixed
    below        the share of clients whose update was no longer than that, with noise; next_clip: what follows from it
    robust       what a robust rule compared and chose (`aggregator.robust.defence.Choice`); None for a mean
    """

    round: int
    clients_ok: int = 0
    clients_failed: int = 0
    attempts: int = 1
    evaluated: bool = True
    evaluation_loss: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    train_loss: float | None = None
    weight: int | None = 0
    clipped: int | None = 0
    capped: int | None = 0
    error_bound: float | None = None
    bound: dict[str, float] = field(default_factory=dict)
    bytes_up: int = 0
    bytes_down: int = 0
    bytes_openers: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    simulated_seconds: float | None = None
    lost: dict[int, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    void: str | None = None
    by_client: dict[int, dict[str, float]] = field(default_factory=dict)
    confusion: list[list[float]] = field(default_factory=list)
    epsilon: float | None = None
    epsilon_aggregator: float | None = None
    unit: str | None = None
    clip: float | None = None
    below: float | None = None
    next_clip: float | None = None
    robust: dict[str, Any] | None = None

    _repr_html_ = showing.record_html

    @property
    def loss(self) -> float | None:
        """The one to show, "loss" in metrics.jsonl: of the evaluation where there is one, else of training."""
        if not self.evaluated:
            return None
        return self.train_loss if self.evaluation_loss is None else self.evaluation_loss

    def to_dict(self) -> dict[str, Any]:
        """One flat row, as in metrics.jsonl: the scenario's metrics stand beside the rest.

        There a number that is not finite is null.
        """
        row = dict(self.__dict__)
        metrics = row.pop("metrics")
        for name in ("by_client", "bound", "confusion"):
            if not row[name]:
                row.pop(name)
        return {"round": row.pop("round"), "loss": self.loss, **metrics, **row}

    @contextmanager
    def counting(self, transcript: Transcript) -> Iterator[None]:
        """Add what the transcript sees meanwhile to the round's bytes."""
        up, down, openers = transcript.bytes_up, transcript.bytes_down, transcript.bytes_openers
        yield
        self.bytes_up += transcript.bytes_up - up
        self.bytes_down += transcript.bytes_down - down
        self.bytes_openers += transcript.bytes_openers - openers

    def describe(self, found: Aggregate) -> None:
        """Enter what the round's sums say."""
        self.train_loss = found.loss
        self.weight = found.weight
        self.clipped = found.clipped
        self.capped, self.below = found.capped, found.below
        self.error_bound = found.error_bound if math.isfinite(found.error_bound) else None

    def headline(self) -> str:
        """The round in a few words, for a log."""
        if self.void:
            return f"void: {self.void}"
        values = ({} if self.loss is None else {"loss": self.loss}) | self.metrics
        return ", ".join(f"{name} {value:.4f}" for name, value in values.items()) or "not evaluated"

    @classmethod
    def from_dict(cls, row: Any) -> RoundRecord:
        """Read `to_dict`; raises `ValueError` for what is no row of a round."""
        if not isinstance(row, dict):
            raise ValueError("no row of a round")
        kinds = _kinds()
        for name in kinds.keys() & row.keys():
            if isinstance(row[name], bool) != (kinds[name] is bool) or not isinstance(row[name], kinds[name]):
                raise ValueError(f"{name} is {row[name]!r:.80}")
        known = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
        others = row.keys() - known.keys() - {"loss"}
        metrics = {name: math.nan if value is None else value for name, value in row.items() if name in others}
        if "round" not in known or not all(isinstance(v, int | float) for v in metrics.values()):
            raise ValueError("no row of a round")
        if not all(isinstance(why, str) for why in row.get("absent", {}).values()):
            raise ValueError(f"absent is {row['absent']!r:.80}")
        for name in ("seconds", "bound"):
            if not are_numbers(row.get(name, {})):
                raise ValueError(f"{name} holds {row[name]!r:.80}")
        if not all(isinstance(line, list) and are_numbers(dict(enumerate(line))) for line in row.get("confusion", [])):
            raise ValueError("confusion is no table of numbers")
        lost = {int(client): str(reason) for client, reason in row.get("lost", {}).items()}
        if known.get("epsilon") is not None and known.get("epsilon_aggregator") is None:
            known["epsilon_aggregator"] = math.inf
        seconds = {name: math.nan if value is None else value for name, value in row.get("seconds", {}).items()}
        return cls(**known | {"metrics": metrics, "lost": lost, "seconds": seconds, "by_client": _by_client(row)})


def _by_client(row: dict[str, Any]) -> dict[int, dict[str, float]]:
    found = {int(client): dict(marks) for client, marks in row.get("by_client", {}).items()}
    if not all(are_numbers(marks) for marks in found.values()):
        raise ValueError("by_client holds no numbers by name")
    return found


@cache
def _kinds() -> dict[str, Any]:
    """By field of a record: what its value in metrics.jsonl is an instance of."""
    hints = get_type_hints(RoundRecord)
    return {name: _kind(hint) for name, hint in hints.items()}


def _kind(hint: Any) -> Any:
    if isinstance(hint, UnionType):
        kinds = tuple(_kind(one) for one in get_args(hint))
        return (*kinds, int) if float in kinds else kinds
    return get_origin(hint) or hint


def checked_metrics(found: Any) -> dict[str, float]:
    """Check an evaluation's metrics; raises `BadInput` for what is no number, or named as a record's field."""
    if not isinstance(found, Mapping):
        raise BadInput(f"evaluate returned {found!r:.80}: return a dictionary, as in {{'loss': 0.3, 'accuracy': 0.9}}")
    taken = RoundRecord.__dataclass_fields__.keys()
    metrics = {}
    for name, value in found.items():
        if not isinstance(name, str):
            raise BadInput(f"evaluate returned a metric named {name!r:.60}: give it a name that is text")
        if name in taken:
            raise BadInput(f"evaluate returned a metric {name!r}, which is a field of a round's record: rename it")
        try:
            metrics[name] = float(value)
        except (TypeError, ValueError):
            raise BadInput(f"evaluate returned {name}={value!r:.80}: a metric is one number") from None
    return metrics


@dataclass(frozen=True)
class Best:
    """The round after which the metric that was watched was best, and what it was then."""

    round: int
    metric: str
    value: float


@dataclass
class History:
    """All rounds of a run, in order.

    model_sha256: of the bytes of model.safetensors. seconds: of this session, and of the rounds of earlier ones. best:
    None where no metric was watched. stopped: why the run ended before its last round, or "". privacy: what the run
    cost so far, and by which terms, as in run.json; empty without noise. recorded_bytes: memory that recorded steps of
    this process kept at the end (docs/engine.md); 0 where workers trained, who keep their own.
    """

    rounds: list[RoundRecord] = field(default_factory=list)
    model_sha256: str = ""
    seconds: float = 0.0
    best: Best | None = None
    stopped: str = ""
    privacy: dict[str, Any] = field(default_factory=dict)
    recorded_bytes: int = 0

    @property
    def bytes_up(self) -> int:
        """Of all rounds, from clients to the aggregator."""
        return sum(record.bytes_up for record in self.rounds)

    @property
    def bytes_down(self) -> int:
        """Of all rounds, from the aggregator to clients."""
        return sum(record.bytes_down for record in self.rounds)

    @property
    def counted(self) -> int:
        """Rounds that changed the model: those that are not void."""
        return sum(record.void is None for record in self.rounds)

    @property
    def error_bound(self) -> float | None:
        """The largest of all rounds that changed the model; None where one of them can state none."""
        bounds = [record.error_bound for record in self.rounds if record.void is None]
        stated = [bound for bound in bounds if bound is not None]
        return max(stated) if stated and len(stated) == len(bounds) else None

    @property
    def metrics(self) -> dict[str, float]:
        """Loss and metrics after the last round that was evaluated."""
        last = next((record for record in reversed(self.rounds) if record.evaluated), None)
        if last is None:
            return {}
        return ({} if last.loss is None else {"loss": last.loss}) | last.metrics

    def rows(self) -> list[dict[str, Any]]:
        """A row a round, each column one number, text or None: seconds by phase stand in columns of their own."""
        return [showing.flat_row(record) for record in self.rounds]

    def to_pandas(self) -> Any:
        """A DataFrame of `rows`, by round; needs pandas (extra `notebooks`)."""
        return showing.to_pandas(self.rounds)

    def plot(self) -> Any:
        """A Matplotlib figure: loss and metrics over rounds; needs the extra `plots`."""
        return showing.plot(self.rounds)

    def __repr__(self) -> str:
        figures = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        void = len(self.rounds) - self.counted
        return f"<History of {many(len(self.rounds), 'round')}{f' ({void} void)' if void else ''}{figures}>"

    def _repr_html_(self) -> str:
        return showing.html(self.rounds, repr(self).strip("<>"))

    def why_nothing_counted(self) -> str:
        """One line for a run of which every round is void."""
        reasons = Counter(record.void for record in self.rounds).most_common(3)
        first = "; ".join(f"{count} because {reason}" for reason, count in reasons)
        return f"none of {many(len(self.rounds), 'round')} counted, so nothing was learned: {first}"

    def summary(self) -> dict[str, Any]:
        """How the run ended, as in run.json."""
        ending = {"state": "done"} if self.counted else {"state": "failed", "reason": self.why_nothing_counted()}
        return {
            **ending,
            "rounds": len(self.rounds),
            "void": len(self.rounds) - self.counted,
            "metrics": self.metrics,
            "model_sha256": self.model_sha256,
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "seconds": self.seconds,
            "recorded_bytes": self.recorded_bytes,
            **({} if self.best is None else {"best": asdict(self.best)}),
            **({"stopped": self.stopped} if self.stopped else {}),
            **({"privacy": self.privacy} if self.privacy else {}),
        }


@runtime_checkable
class Tracker(Protocol):
    """Watches a run: a progress bar, a log, a dashboard."""

    def begin(self, rounds: int, first: int) -> None:
        """The run starts at round `first` (1, or later where it is resumed) of `rounds`."""
        ...

    def round(self, record: RoundRecord) -> None: ...

    def end(self) -> None:
        """The run is over, by success or not."""
        ...
