"""The seam of every protection: what a client, the aggregator and the openers each do, and no party's secrets.

A protection is one class that holds configuration only, with its halves beside it in the same file. Who runs
which half is decided in clients/ and aggregator/; only the bytes that the halves make pass between parties.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.defaults import KEY_BITS
from fedlearn.defaults import MIN_COHORT as MIN_COHORT
from fedlearn.errors import BadInput
from fedlearn.protocol import PartialSum, RunPlan, Step
from fedlearn.secure.signed import Signed

DEFAULT_CODEC = FixedPoint(bits=24, bound=4.0, addends=100)


@dataclass(frozen=True)
class Settings:
    """What the command line says about protection; each class takes from it what it needs."""

    codec: FixedPoint = DEFAULT_CODEC
    key_bits: int = KEY_BITS
    min_cohort: int = MIN_COHORT
    max_overlap: int | None = None
    insecure_test_key: bool = False


@dataclass(frozen=True)
class DealerSpec:
    """A process that runs before the openers start, leaves each its share in a file, and ends.

    factory  `package.module:function`, called with `arguments`
    """

    factory: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class OpenerSpec:
    """A key holder or trustee to be started as a process of its own.

    party    its number on the wire (FIRST_OPENER and below)
    factory  `package.module:Class` of an `Opener`; it draws its secrets in its own process
    """

    party: int
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)


class ClientHalf(ABC):
    """One client in one attempt of one round."""

    @abstractmethod
    def step(self, phase: str, inbox: bytes, vector: np.ndarray | None) -> bytes:
        """The client's payload for a phase. vector: its encoded update, int64 (n,), in the training phase only."""


class ServerHalf(ABC):
    """The aggregator in one attempt of one round."""

    def inboxes(self, phase: str, cohort: Sequence[int]) -> dict[int, bytes]:
        """What each client still in the cohort is sent at the start of a phase; nothing, if not defined otherwise.

        Raises `RoundVoid` where those that are left cannot complete the attempt.
        """
        return dict.fromkeys(cohort, b"")

    @abstractmethod
    def receive(self, phase: str, client: int, payload: bytes) -> None:
        """Take one client's payload; raises a `BadInput` naming what is wrong with it."""

    @property
    @abstractmethod
    def addends(self) -> int:
        """Clients whose vectors are in the sum so far."""

    def requests(self) -> dict[int, bytes]:
        """What each opener is asked; nothing where the aggregator can read the sum by itself."""
        return {}

    @abstractmethod
    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        """The sum of all vectors received, int64 (n,), from the openers' replies.

        Raises `RoundVoid` where too few openers replied, or wrongly.
        """


class FoldingHalf(ServerHalf):
    """The server half of a protection that folds in workers."""

    @abstractmethod
    def receive_sum(self, partial: PartialSum) -> None:
        """Take what a worker added up of its clients' vectors; raises a `BadInput` naming what is wrong with it."""

    @abstractmethod
    def would_take(self, lanes: int) -> int:
        """Bytes of the payload of one client's vector, had it been sent by itself."""


class Opener(ABC):
    """A key holder or trustee, alone in its process, in one session."""

    @abstractmethod
    def public_key(self) -> bytes: ...

    @abstractmethod
    def join(self, plan: RunPlan) -> None:
        """Learn what all parties agreed on."""

    @abstractmethod
    def submit(self, step: Step, client: int, signed: Signed) -> None:
        """Take note of one client's update, its signature checked."""

    @abstractmethod
    def complain(self, reason: str) -> None:
        """Open nothing in this attempt: something signed by nobody was submitted."""

    @abstractmethod
    def open(self, step: Step, request: bytes) -> bytes:
        """Open a sum, or raise `OpeningRefused` with the rule that forbids it."""


class Protection(ABC):
    """One way to hide updates: configuration only, no secrets. Its halves stand beside it.

    phases          message exchanges of one attempt, in order
    training_phase  the one in which clients train and hand over their vector
    codec           fixed-point codec of the updates
    min_cohort      the fewest addends a sum may have to be opened
    signed          clients sign what they send, and openers see it
    fold_in_worker  whoever runs clients may add their vectors: only where the aggregator can read each of them anyway

    A subclass defines `client` and `server`. Where it is a dataclass its fields are its arguments, and its codec one of
    them; any other class defines `arguments` and `rebuild` too.
    """

    phases: tuple[str, ...] = ("update",)
    training_phase: str = "update"
    codec: FixedPoint = DEFAULT_CODEC
    min_cohort: int = 3
    signed: bool = False
    fold_in_worker: bool = False

    @property
    def name(self) -> str:
        """For people; the class in small letters, if a subclass says nothing else."""
        return type(self).__name__.lower()

    def arguments(self) -> dict[str, Any]:
        """Plain data from which `rebuild` makes the same configuration on the other side of the wire."""
        if not is_dataclass(self):
            raise BadInput(f"protection {type(self).__name__} says no arguments: make it a dataclass, or define them")
        return asdict(self)

    @classmethod
    def rebuild(cls, arguments: Mapping[str, Any]) -> Self:
        """The configuration that has these `arguments()`."""
        codec = {"codec": FixedPoint.from_dict(arguments["codec"])} if "codec" in arguments else {}
        return cls(**{**arguments, **codec})

    @classmethod
    def from_spec(cls, argument: str | None, settings: Settings) -> Self:
        """Build it from what stands after its name and a colon, and from the settings that its fields name."""
        if argument is not None:
            raise BadInput(f"protection {cls.__name__.lower()} takes no argument, got {argument!r}: leave it out")
        wanted: set[str] = {f.name for f in fields(cls)} if is_dataclass(cls) else set()
        return cls(**{f.name: getattr(settings, f.name) for f in fields(settings) if f.name in wanted})

    @abstractmethod
    def client(self, plan: RunPlan, client: int) -> ClientHalf: ...

    @abstractmethod
    def server(self, plan: RunPlan, step: Step) -> ServerHalf:
        """For one attempt: `step` gives its round and attempt."""

    def dealer(self, vault: Path) -> DealerSpec | None:
        """Who deals the openers' shares; nobody, by default. vault: a folder that only this user can read."""
        return None

    def openers(self, vault: Path) -> tuple[OpenerSpec, ...]:
        """Key holder or trustees; none where the aggregator can read the sum by itself."""
        return ()
