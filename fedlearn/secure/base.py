"""The seam of every protection: what a client, the aggregator and the openers each do, and no party's secrets.

A protection is one class that holds configuration only, with its halves beside it in the same file. Who runs
which half is decided in clients/ and aggregator/; only the bytes that the halves make pass between parties.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from fedlearn.configured import Named, arguments_of
from fedlearn.crypto import FixedPoint
from fedlearn.crypto.signing import SigningKey
from fedlearn.defaults import KEY_BITS
from fedlearn.defaults import MIN_COHORT as MIN_COHORT
from fedlearn.privacy.terms import Where
from fedlearn.protocol import PartialSum, RunPlan, Step
from fedlearn.secure.kept import KeptKeys
from fedlearn.secure.pki import Pki
from fedlearn.secure.price import Price
from fedlearn.secure.signed import Signed
from fedlearn.spec import construct, keys_of

DEFAULT_CODEC = FixedPoint(bits=24, bound=4.0, addends=100)


@dataclass(frozen=True)
class Settings:
    """The command line's settings of protection; each class takes from it what it needs."""

    codec: FixedPoint = DEFAULT_CODEC
    key_bits: int = KEY_BITS
    min_cohort: int = MIN_COHORT
    max_overlap: int | None = None
    insecure_test_key: bool = False
    keys: KeptKeys | None = None


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
    asks     it may ask the user something: it is started when those before it have shown their keys
    pki      clients' keys as they were agreed outside of the aggregator, which the plan's roster must have; None: any
    trusted  it could read single updates: so it may know the coins of secret cohorts, and checks these
    coins    what such cohorts follow from
    """

    party: int
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    asks: bool = False
    pki: Pki | None = None
    trusted: bool = False
    coins: bytes | None = None

    def knowing(self, pki: Pki | None, coins: bytes | None) -> OpenerSpec:
        """With what it may know of what the openers of a session are given."""
        return replace(self, pki=pki, coins=coins if self.trusted else None)


class ClientHalf(ABC):
    """One client in one attempt of one round."""

    def identify(self, key: SigningKey, step: Step) -> None:
        """Be given what this client signs with, before the first phase, where its protection is `enrolled`.

        step: round and attempt, which belong under every signature.
        """
        return

    def to_state(self) -> bytes:
        """All that the next phase needs, with its secrets, where another object answers that; b"" for nothing."""
        return b""

    def from_state(self, data: bytes) -> None:  # noqa: B027
        """Go on from what `to_state` gave, after `identify`."""

    @abstractmethod
    def step(self, phase: str, inbox: bytes, vector: np.ndarray | None) -> bytes:
        """The client's payload for a phase. vector: its encoded update, int64 (n,), in the training phase only."""


class ServerHalf(ABC):
    """The aggregator in one attempt of one round.

    addends: clients whose vectors are in the sum so far. opening: the exchanges with the openers, in order. enough: how
    many openers' answers do; None for all that are asked.
    """

    addends: int = 0
    opening: tuple[str, ...] = ("open",)
    enough: int | None = None

    def inboxes(self, phase: str, cohort: Sequence[int]) -> dict[int, bytes]:
        """The message to each client of the cohort at the start of a phase; by default none.

        Raises `RoundVoid` if the remaining clients cannot complete the attempt.
        """
        return dict.fromkeys(cohort, b"")

    @abstractmethod
    def receive(self, phase: str, client: int, payload: bytes) -> None:
        """Take one client's payload; raises a `BadInput` naming what is wrong with it."""

    def requests(self, phase: str, replies: Mapping[int, bytes]) -> dict[int, bytes]:
        """The request to each opener in a phase of the opening; none where the aggregator can read the sum by itself.

        replies: the openers' in the phase before. Raises `RoundVoid` where these do not allow to go on.
        """
        return {}

    def answered(self, phase: str, party: int, payload: bytes) -> None:  # noqa: B027
        """Look at one opener's answer as it comes, where that shows whether it counts.

        Raises a `FedlearnError` that says what is wrong with it; then others are waited for.
        """

    @abstractmethod
    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        """The sum of all vectors received, int64 (n,), from the openers' replies in the last phase.

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

    plan: RunPlan
    memory: Path | None = None
    coins: bytes | None = None

    @abstractmethod
    def public_key(self) -> bytes: ...

    def join(self, plan: RunPlan) -> None:
        """Learn what all parties agreed on."""
        self.plan = plan

    def recall(self, memory: Path) -> None:
        """Keep in this file what was opened, and go on from what it says of earlier sessions.

        By default only its place is noted. Raises `CryptoKeyError` for one that is damaged.
        """
        self.memory = memory

    def to_state(self) -> bytes:
        """Secrets that are not in its key files, where each message finds it in a new process; b"" for none."""
        return b""

    def from_state(self, data: bytes) -> None:  # noqa: B027
        """Be the one whose `to_state` this is."""

    @abstractmethod
    def submit(self, step: Step, client: int, signed: Signed) -> None:
        """Take note of one client's update, its signature checked."""

    @abstractmethod
    def complain(self, reason: str) -> None:
        """Open nothing in this attempt: something signed by nobody was submitted."""

    @abstractmethod
    def open(self, step: Step, request: bytes) -> bytes:
        """Open a sum, or raise `OpeningRefused` with the rule that forbids it."""


class Protection(Named, ABC):
    """Configuration of one way to hide updates, and its halves. A new one defines `client` and `server`.

    A dataclass needs no more: its fields are its arguments. Another class keeps each parameter of `__init__` as an
    attribute, or defines `arguments` and `rebuild`.

    name            how messages and records call it; by default the class's name in lower case
    phases          message exchanges of one attempt, in order
    training_phase  the one in which clients train and hand over their vector
    codec           fixed-point codec of the updates
    min_cohort      the fewest addends a sum may have to be opened
    signed          clients sign what they send, and openers see it
    enrolled        clients have signing keys for what their halves send, though their updates are not signed
    reveals         the phase from which on the aggregator may be able to read the sum, so that the round is never tried
                    again with other clients; "" where only openers can, who open a round once
    fold_in_worker  whoever runs clients may add their vectors: only where the aggregator can read each of them anyway
    hiding          what clients do to an update before it leaves them, in a word for people; "" for nothing
    adds_noise      who can add noise to sums, the usual one first (`fedlearn.privacy.terms`)
    """

    phases: tuple[str, ...] = ("update",)
    training_phase: str = "update"
    codec: FixedPoint = DEFAULT_CODEC
    min_cohort: int = MIN_COHORT
    signed: bool = False
    enrolled: bool = False
    reveals: str = ""
    fold_in_worker: bool = False
    hiding: str = ""
    adds_noise: tuple[Where, ...] = ("clients",)

    @property
    def has_roster(self) -> bool:
        """True if clients enrol with a signing key each, which the plan's roster names."""
        return self.signed or self.enrolled

    def arguments(self) -> dict[str, Any]:
        """The arguments from which `rebuild` makes it again: plain values, a codec as a dict."""
        values = arguments_of(self)
        return {name: asdict(v) if isinstance(v, FixedPoint) else v for name, v in values.items()}

    @classmethod
    def rebuild(cls, arguments: Mapping[str, Any]) -> Self:
        """The same configuration on the other side of the wire, from `arguments()`."""
        codec = {"codec": FixedPoint.from_dict(arguments["codec"])} if "codec" in arguments else {}
        return cls(**{**arguments, **codec})

    @classmethod
    def from_spec(cls, argument: str | None, settings: Settings) -> Self:
        """From what the command line says: `key=value,...`, and of the settings those that it has parameters for."""
        keys = keys_of(cls)
        shared = {name: value for name, value in vars(settings).items() if name in keys}
        made: Self = construct(cls, argument, f"protection {cls.name}", **shared)
        return made

    @abstractmethod
    def client(self, plan: RunPlan, client: int) -> ClientHalf:
        """The half of client number `client` in an attempt."""

    @abstractmethod
    def server(self, plan: RunPlan, step: Step) -> ServerHalf:
        """The aggregator's half in one attempt: `step` gives its round and attempt."""

    def check_keys(self, plan: RunPlan) -> None:
        """Raise `BadInput` where the openers' keys in a plan are not as this configuration says: clients ask first."""
        return

    def fingerprint(self, plan: RunPlan) -> str:
        """Of the key that updates are encrypted under, in hex; "" where there is none."""
        return ""

    def dealer(self, vault: Path) -> DealerSpec | None:
        """The dealer of the openers' shares, if there is one. vault: a folder that only this user can read."""
        return None

    def openers(self, vault: Path) -> tuple[OpenerSpec, ...]:
        """The parties that open sums; none where the aggregator reads them."""
        return ()

    def check_cohorts(self, cohort: int, population: int) -> None:
        """Raise `BadInput` where no two rounds with cohorts of this size could both be opened."""
        return

    def price(self, values: int) -> Price:
        """The time to hide an update and to open a sum, beside training; none where it is not worth telling."""
        return Price()
