"""The bodies of messages: one class per kind, which reads and writes its own bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self

import numpy as np

from fedlearn.errors import ProtocolError
from fedlearn.protocol.parties import ClientId
from fedlearn.protocol.plan import RunPlan
from fedlearn.wording import many

STATE_ENTRY = struct.Struct("<16sI")


class Body(Protocol):
    """The body of a message. `kind` is its number on the wire."""

    kind: ClassVar[int]

    def to_bytes(self) -> bytes: ...
    @classmethod
    def from_bytes(cls, data: bytes) -> Self: ...


@dataclass(frozen=True, eq=False)
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
        if start > len(data) or len(data) % 4:  # an entry has a multiple of 4 bytes
            raise ProtocolError(
                f"a model of {many(len(data), 'byte')} with {many(count, 'vector')} of state is not a whole number of "
                "float32 values: send it again"
            )
        values = np.frombuffer(data, "<f4", offset=start)
        if not count:
            return cls(values)
        entries = [STATE_ENTRY.unpack_from(data, 4 + i * STATE_ENTRY.size) for i in range(count)]
        names = [name.rstrip(b"\0").decode("ascii", "replace") for name, _ in entries]
        lengths = [length for _, length in entries]
        if len(set(names)) < count or sum(lengths) > values.size:
            raise ProtocolError(
                f"a model's state does not fit its {many(len(data), 'byte')}, or names one vector twice"
            )
        weights, *vectors = np.split(values, np.cumsum([values.size - sum(lengths), *lengths])[:-1])
        return cls(weights, dict(zip(names, vectors, strict=True)))

    def check(self, parameters: int, state: Mapping[str, int]) -> None:
        """Raise `ProtocolError` unless it holds so many weights and these vectors of state, by name with lengths."""
        if self.weights.shape != (parameters,):
            raise ProtocolError(
                f"the request has {many(self.weights.size, 'weight')}, the plan's model {parameters}: "
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


@dataclass(frozen=True, eq=False)
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
            raise ProtocolError(
                f"a sum of the vectors of {many(count, 'client')} cannot have {many(len(data), 'byte')}: send it again"
            )
        clients = np.frombuffer(data, "<u4", count, 4)
        return cls(tuple(clients.tolist()), np.frombuffer(data, "<i8", offset=4 * (count + 1)))


@dataclass(frozen=True)
class _Notice:
    """A body of no bytes: its kind says it all."""

    def to_bytes(self) -> bytes:
        return b""

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        if data:
            raise ProtocolError(f"a notice of {many(len(data), 'byte')}, it has none: send it again")
        return cls()


@dataclass(frozen=True)
class Counted(_Notice):
    """Aggregator to the clients in a round's opened sum, where they keep state: the round counted with you."""

    kind: ClassVar[int] = 11


@dataclass(frozen=True)
class LeftOut(_Notice):
    """Aggregator to the clients of the step's group: the round goes on without you. They answer with the same."""

    kind: ClassVar[int] = 14
    PHASE: ClassVar[str] = "left-out"


@dataclass(frozen=True)
class Loss:
    """Client to aggregator, under a protection: no answer comes from it, and only this is said of why.

    code  REFUSED: it was asked for what it does not do, or its input is not as it must be. FAILED: its work failed.
          LATE: who runs it has given up waiting for it
    """

    kind: ClassVar[int] = 12
    REFUSED: ClassVar[int] = 1
    FAILED: ClassVar[int] = 2
    LATE: ClassVar[int] = 3
    code: int

    def __post_init__(self) -> None:
        if not self.REFUSED <= self.code <= self.LATE:
            raise ProtocolError(f"a loss of code {self.code}, there are {self.REFUSED} to {self.LATE}: send it again")

    def to_bytes(self) -> bytes:
        return bytes([self.code])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        if len(data) != 1:
            raise ProtocolError(f"a loss of {many(len(data), 'byte')}, it has 1: send it again")
        return cls(data[0])


@dataclass(frozen=True)
class Marks(_Opaque):
    """Client to aggregator, under no protection: how the model does on its own examples; msgpack, numbers by name.

    The clients were sent the model by a `TrainRequest` of the phase PHASE.
    """

    kind: ClassVar[int] = 13
    PHASE: ClassVar[str] = "evaluate"


BODIES: dict[int, type[Body]] = {
    body.kind: body
    for body in (
        TrainRequest, Update, Inbox, OpenerKey, OpenRequest, Opened, Refusal, RunPlan, Enrolment, PartialSum, Counted,
        Loss, Marks, LeftOut,
    )
}  # fmt: skip
