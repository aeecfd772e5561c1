"""Typed messages between parties, and their bytes: a fixed header, then a body.

Header (big-endian, 54 bytes): magic `FL`, version, kind, session (16), round (u32), attempt (u16),
phase (12 bytes of ASCII, NUL-padded), sender (i32), recipient (i32), body length (u64). A message that is
shorter or longer than it says, of another version or of an unknown kind is refused before its body is read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self, TypeVar

import numpy as np

from fedlearn.errors import ProtocolError
from fedlearn.protocol.plan import RunPlan

VERSION = 2
MAGIC = b"FL"
HEADER = struct.Struct(">2sBB16sIH12siiQ")
KIND_AT = 3  # where a header has the kind of the body
STATE_ENTRY = struct.Struct("<16sI")

# Parties: clients are 0, 1, 2...; everybody else has a negative number.
AGGREGATOR = -1
EVERYBODY = -2
FIRST_OPENER = -16  # key holder or trustees: -16, -17, ...
FIRST_WORKER = -(1 << 20)  # workers of a pool, that add their clients' updates: downwards from here
ClientId = int  # a client's number, 0 or more


def is_opener(party: int) -> bool:
    """Whether a party is the key holder or a trustee."""
    return FIRST_WORKER < party <= FIRST_OPENER


def party_name(party: int) -> str:
    """The name under which a party stands in the transcript."""
    if party >= 0:
        return f"client:{party}"
    if party <= FIRST_WORKER:
        return f"worker:{FIRST_WORKER - party}"
    if party <= FIRST_OPENER:
        return f"opener:{FIRST_OPENER - party}"
    return {AGGREGATOR: "aggregator", EVERYBODY: "everybody"}[party]


@dataclass(frozen=True)
class Step:
    """Where a session is. A round may need several attempts after a loss, an attempt several phases."""

    round: int
    attempt: int = 0
    phase: str = ""

    def __str__(self) -> str:
        return f"round {self.round}, attempt {self.attempt}, phase {self.phase or 'none'}"


class Body(Protocol):
    """What a message says. `kind` is its number on the wire."""

    kind: ClassVar[int]

    def to_bytes(self) -> bytes: ...
    @classmethod
    def from_bytes(cls, data: bytes) -> Self: ...


@dataclass(frozen=True)
class TrainRequest:
    """Aggregator to the cohort: the global model, and the strategy's state that goes with it.

    weights  one flat vector, float32 (P,)
    state    what the plan's strategy broadcasts beside the weights: float32 (n,) by name; empty for most strategies

    Bytes: how many vectors of state (u32), then of each its name (16 bytes of ASCII, NUL-padded) and its length (u32);
    the weights, then the vectors (f4 each); little-endian.
    """

    kind: ClassVar[int] = 1
    weights: np.ndarray
    state: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        parts = [len(self.state).to_bytes(4, "little")]
        for name, vector in self.state.items():
            if not (name.isascii() and name and "\0" not in name and len(name) <= 16):
                raise ProtocolError(f"a strategy broadcasts {name!r}: name it with 1 to 16 ASCII characters")
            parts.append(STATE_ENTRY.pack(name.encode(), vector.size))
        vectors = (self.weights, *self.state.values())
        return b"".join([*parts, *(vector.astype("<f4", copy=False).tobytes() for vector in vectors)])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        count = int.from_bytes(data[:4], "little")
        start = 4 + count * STATE_ENTRY.size
        if start > len(data) or (len(data) - start) % 4:
            raise ProtocolError(
                f"a model of {len(data)} bytes with {count} vectors of state is not a whole number of float32 values: "
                "send it again"
            )
        values = np.frombuffer(data, "<f4", offset=start)
        entries = [STATE_ENTRY.unpack_from(data, 4 + i * STATE_ENTRY.size) for i in range(count)]
        names = [name.rstrip(b"\0").decode("ascii", "replace") for name, _ in entries]
        lengths = [length for _, length in entries]
        if len(set(names)) < count or sum(lengths) > values.size:
            raise ProtocolError(f"a model's state does not fit its {len(data)} bytes, or names one vector twice")
        weights, *vectors = np.split(values, np.cumsum([values.size - sum(lengths), *lengths])[:-1])
        return cls(weights, dict(zip(names, vectors, strict=True)))

    def check(self, parameters: int, state: Mapping[str, int]) -> None:
        """Raise `ProtocolError` unless it holds so many weights and these vectors of state, by name with lengths."""
        if self.weights.shape != (parameters,):
            raise ProtocolError(
                f"the request has {self.weights.size} weights, the plan's model {parameters}: "
                "the model must keep the parameters it had at the start of the run"
            )
        found = {name: vector.size for name, vector in self.state.items()}
        if found != dict(state):
            raise ProtocolError(
                f"the request comes with the state {found}, the plan's strategy broadcasts {dict(state)}"
            )


@dataclass(frozen=True)
class _Opaque:
    """A body that only the protection's other half can read."""

    payload: bytes

    def to_bytes(self) -> bytes:
        return self.payload

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls(data)


@dataclass(frozen=True)
class Update(_Opaque):
    """Client to aggregator: what the protection's client half made of a local update."""

    kind: ClassVar[int] = 2


@dataclass(frozen=True)
class Inbox(_Opaque):
    """Aggregator to one client: what the protection's server half has for it in this phase."""

    kind: ClassVar[int] = 3


@dataclass(frozen=True)
class OpenerKey(_Opaque):
    """Key holder or trustee to everybody: its public key."""

    kind: ClassVar[int] = 4


@dataclass(frozen=True)
class OpenRequest(_Opaque):
    """Aggregator to key holder or trustee: a protected sum to open."""

    kind: ClassVar[int] = 5


@dataclass(frozen=True)
class Opened(_Opaque):
    """Key holder or trustee to aggregator: the opened sum, or a share of it."""

    kind: ClassVar[int] = 6


@dataclass(frozen=True)
class Refusal:
    """Key holder or trustee to aggregator: why it does not open the sum."""

    kind: ClassVar[int] = 7
    reason: str

    def to_bytes(self) -> bytes:
        return self.reason.encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls(data.decode(errors="replace"))


@dataclass(frozen=True)
class Enrolment(_Opaque):
    """Client to aggregator, before the plan: the public key (Ed25519) it will sign with in this session."""

    kind: ClassVar[int] = 9


@dataclass(frozen=True)
class PartialSum:
    """Worker to aggregator, under no protection only: the sum of its clients' vectors, int64 (n,), and whose they are.

    Bytes: how many clients (u32), their numbers (u32 each), the sum (i64 each); little-endian.
    """

    kind: ClassVar[int] = 10
    clients: tuple[ClientId, ...]
    total: np.ndarray

    def to_bytes(self) -> bytes:
        head = np.array([len(self.clients), *self.clients], "<u4")
        return head.tobytes() + self.total.astype("<i8", copy=False).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        count = int.from_bytes(data[:4], "little")
        rest = len(data) - 4 * (count + 1)
        if rest < 0 or rest % 8:
            raise ProtocolError(f"a sum of {count} clients' vectors cannot have {len(data)} bytes: send it again")
        clients = np.frombuffer(data, "<u4", count, 4)
        return cls(tuple(clients.tolist()), np.frombuffer(data, "<i8", offset=4 * (count + 1)))


@dataclass(frozen=True)
class Counted:
    """Aggregator to the clients in a round's opened sum, where they keep state: the round counted with you."""

    kind: ClassVar[int] = 11

    def to_bytes(self) -> bytes:
        return b""

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        if data:
            raise ProtocolError(f"a notice of {len(data)} bytes, it has none: send it again")
        return cls()


@dataclass(frozen=True)
class Loss:
    """Client to aggregator, under a protection: no answer comes from it, and only this is said of why.

    code  REFUSED: it was asked for what it does not do, or its input is not as it must be. FAILED: its work failed
    """

    kind: ClassVar[int] = 12
    REFUSED: ClassVar[int] = 1
    FAILED: ClassVar[int] = 2
    code: int

    def __post_init__(self) -> None:
        if self.code not in (self.REFUSED, self.FAILED):
            raise ProtocolError(
                f"a loss of code {self.code}, there are {self.REFUSED} and {self.FAILED}: send it again"
            )

    def to_bytes(self) -> bytes:
        return bytes([self.code])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        if len(data) != 1:
            raise ProtocolError(f"a loss of {len(data)} bytes, it has 1: send it again")
        return cls(data[0])


B = TypeVar("B", bound=Body)

BODIES: dict[int, type[Body]] = {
    body.kind: body
    for body in (
        TrainRequest, Update, Inbox, OpenerKey, OpenRequest, Opened, Refusal, RunPlan, Enrolment, PartialSum, Counted,
        Loss,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """A body with where it belongs (session, step) and whose it is. `recipient` may be EVERYBODY."""

    session: bytes
    step: Step
    sender: int
    recipient: int
    body: Body

    def to_bytes(self) -> bytes:
        body = self.body.to_bytes()
        phase = self.step.phase.encode("ascii")
        if len(self.session) != 16 or len(phase) > 12:
            raise ProtocolError(
                f"session of {len(self.session)} bytes (16 needed) or phase {self.step.phase!r} over 12"
            )
        header = HEADER.pack(
            MAGIC, VERSION, self.body.kind, self.session, self.step.round, self.step.attempt,
            phase, self.sender, self.recipient, len(body),
        )  # fmt: skip
        return header + body

    @staticmethod
    def kind_of(data: bytes) -> int:
        """The kind of body that a message claims to have, unread; 0 where it is too short."""
        return int(data[KIND_AT]) if len(data) > KIND_AT else 0

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read one whole message; raises `ProtocolError` for damage of any kind."""
        if len(data) < HEADER.size:
            raise ProtocolError(
                f"message of {len(data)} bytes is shorter than its {HEADER.size}-byte header: send it again"
            )
        magic, version, kind, session, round, attempt, phase, sender, recipient, length = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise ProtocolError(f"message begins {magic!r}, not {MAGIC!r}: this is not a fedlearn message")
        if version != VERSION:
            raise ProtocolError(f"message version {version}, this side speaks {VERSION}: run one release on all sides")
        if kind not in BODIES:
            raise ProtocolError(f"message kind {kind} is unknown, kinds are {min(BODIES)}..{max(BODIES)}")
        if len(data) != HEADER.size + length:
            raise ProtocolError(
                f"message body has {len(data) - HEADER.size} bytes, its header says {length}: send it again"
            )
        try:
            step = Step(round, attempt, phase.rstrip(b"\0").decode("ascii"))
        except UnicodeDecodeError:
            raise ProtocolError(f"message phase {phase!r} is not ASCII: send it again") from None
        for party in (sender, recipient):
            if FIRST_OPENER < party < EVERYBODY:
                raise ProtocolError(f"message from or to party {party}, which there is not")
        return cls(session, step, sender, recipient, BODIES[kind].from_bytes(data[HEADER.size :]))

    def expect(
        self,
        kind: type[B],
        *,
        session: bytes,
        step: Step | None = None,
        sender: int | None = None,
        recipient: int | None = None,
    ) -> B:
        """The body, if the message is what the receiver waits for; `ProtocolError` says what differs."""
        if not isinstance(self.body, kind):
            raise ProtocolError(f"got {type(self.body).__name__}, expected {kind.__name__}")
        if self.session != session:
            raise ProtocolError(f"message of session {self.session.hex()}, this is session {session.hex()}: a replay?")
        if step is not None and self.step != step:
            raise ProtocolError(f"message of {self.step}, expected {step}: a replay?")
        if sender is not None and self.sender != sender:
            raise ProtocolError(f"message from {party_name(self.sender)}, expected {party_name(sender)}")
        if recipient is not None and self.recipient != recipient:
            raise ProtocolError(f"message to {party_name(self.recipient)}, expected {party_name(recipient)}")
        return self.body
