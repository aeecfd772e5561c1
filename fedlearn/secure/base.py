"""The seam of every protection: what a client, the aggregator and the openers each do, and no party's secrets.

A protection is one class that holds configuration only, with its halves beside it in the same file. Who runs
which half is decided in clients/ and aggregator/; only the bytes that the halves make pass between parties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.crypto.keys import KEY_BITS
from fedlearn.protocol import PartialSum, RunPlan, Step
from fedlearn.secure.signed import Signed

DEFAULT_CODEC = FixedPoint(bits=24, bound=4.0, addends=100)
MIN_COHORT = 3  # by default, the fewest clients whose sum is opened


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


class ClientHalf(Protocol):
    """One client in one attempt of one round."""

    def step(self, phase: str, inbox: bytes, vector: np.ndarray | None) -> bytes:
        """The client's payload for a phase. vector: its encoded update, int64 (n,), in the training phase only."""
        ...


class ServerHalf(Protocol):
    """The aggregator in one attempt of one round."""

    def inboxes(self, phase: str, cohort: Sequence[int]) -> dict[int, bytes]:
        """What each client still in the cohort is told at the start of a phase.

        Raises `RoundVoid` where those that are left cannot complete the attempt.
        """
        ...

    def receive(self, phase: str, client: int, payload: bytes) -> None:
        """Take one client's payload; raises a `BadInput` naming what is wrong with it."""
        ...

    @property
    def addends(self) -> int:
        """Clients whose vectors are in the sum so far."""
        ...

    def requests(self) -> dict[int, bytes]:
        """What each opener is asked; empty where the aggregator can read the sum by itself."""
        ...

    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        """The sum of all vectors received, int64 (n,), from the openers' replies.

        Raises `RoundVoid` where too few openers replied, or wrongly.
        """
        ...


class FoldingHalf(ServerHalf, Protocol):
    """The server half of a protection that folds in workers."""

    def receive_sum(self, partial: PartialSum) -> None:
        """Take what a worker added up of its clients' vectors; raises a `BadInput` naming what is wrong with it."""
        ...

    def would_take(self, lanes: int) -> int:
        """Bytes of the payload of one client's vector, had it been sent by itself."""
        ...


class Opener(Protocol):
    """A key holder or trustee, alone in its process, in one session."""

    def public_key(self) -> bytes: ...

    def join(self, plan: RunPlan) -> None:
        """Learn what all parties agreed on."""
        ...

    def submit(self, step: Step, client: int, signed: Signed) -> None:
        """Take note of one client's update, its signature checked."""
        ...

    def complain(self, reason: str) -> None:
        """Open nothing in this attempt: something signed by nobody was submitted."""
        ...

    def open(self, step: Step, request: bytes) -> bytes:
        """Open a sum, or raise `OpeningRefused` with the rule that forbids it."""
        ...


class Protection(Protocol):
    """Configuration of one way to hide updates.

    name            its name in the registry
    phases          message exchanges of one attempt, in order
    training_phase  the one in which clients train and hand over their vector
    codec           fixed-point codec of the updates
    min_cohort      the fewest addends a sum may have to be opened
    signed          clients sign what they send, and openers see it
    fold_in_worker  whoever runs clients may add their vectors: only where the aggregator can read each of them anyway
    """

    name: str
    phases: tuple[str, ...]
    training_phase: str
    signed: bool
    fold_in_worker: bool

    @property
    def codec(self) -> FixedPoint: ...

    @property
    def min_cohort(self) -> int: ...

    def arguments(self) -> dict[str, Any]: ...

    @classmethod
    def rebuild(cls, arguments: dict[str, Any]) -> Self:
        """The same configuration on the other side of the wire, from `arguments()`."""
        ...

    @classmethod
    def from_spec(cls, argument: str | None, settings: Settings) -> Self: ...

    def client(self, plan: RunPlan, client: int) -> ClientHalf: ...

    def server(self, plan: RunPlan, step: Step) -> ServerHalf:
        """For one attempt: `step` gives its round and attempt."""
        ...

    def dealer(self, vault: Path) -> DealerSpec | None:
        """Who deals the openers' shares, if anybody. vault: a folder that only this user can read."""
        ...

    def openers(self, vault: Path) -> tuple[OpenerSpec, ...]: ...


@dataclass(frozen=True)
class Configuration:
    """How a protection's dataclass goes over the wire: by its fields, `codec` among them."""

    def arguments(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def rebuild(cls, arguments: dict[str, Any]) -> Self:
        return cls(**arguments | {"codec": FixedPoint.from_dict(arguments["codec"])})
