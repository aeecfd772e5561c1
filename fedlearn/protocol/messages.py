"""Typed messages between parties, and their bytes: a fixed header, then a body.

Header (big-endian, 56 bytes): magic `FL`, version, kind, session (16), round (u32), attempt (u16),
group (u16), phase (12 bytes of ASCII, NUL-padded), sender (i32), recipient (i32), body length (u64). A message that is
shorter or longer than it says, of another version or of an unknown kind is refused before its body is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self, TypeVar

from fedlearn.errors import ProtocolError
from fedlearn.protocol.bodies import BODIES, Body
from fedlearn.protocol.parties import AGGREGATOR, EVERYBODY, FIRST_OPENER, party_name
from fedlearn.protocol.plan import SESSION_BYTES, RunPlan
from fedlearn.wording import many

VERSION = 3
MAGIC = b"FL"
PHASE_BYTES = 12
HEADER = struct.Struct(f">2sBB{SESSION_BYTES}sIHH{PHASE_BYTES}siiQ")
KIND_AT = 3  # where a header has the kind of the body
B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Step:
    """The place of a message in its session. A round may need several attempts after a loss, an attempt several phases.

    group: whose sum is to be opened, where a cohort is cut into groups; else 0.
    """

    round: int
    attempt: int = 0
    phase: str = ""
    group: int = 0

    def __str__(self) -> str:
        group = f", group {self.group}" if self.group else ""
        return f"round {self.round}, attempt {self.attempt}, phase {self.phase or 'none'}{group}"


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
        if len(self.session) != SESSION_BYTES or len(phase) > PHASE_BYTES:
            raise ProtocolError(
                f"session of {many(len(self.session), 'byte')} ({SESSION_BYTES} needed) or phase {self.step.phase!r} "
                f"over {PHASE_BYTES}"
            )
        header = HEADER.pack(
            MAGIC, VERSION, self.body.kind, self.session, self.step.round, self.step.attempt,
            self.step.group, phase, self.sender, self.recipient, len(body),
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
                f"message of {many(len(data), 'byte')} is shorter than its {HEADER.size}-byte header: send it again"
            )
        magic, version, kind, session, round, attempt, group, phase, sender, recipient, length = HEADER.unpack_from(
            data
        )
        if magic != MAGIC:
            raise ProtocolError(f"message begins {magic!r}, not {MAGIC!r}: this is not a fedlearn message")
        if version != VERSION:
            raise ProtocolError(f"message version {version}, this side speaks {VERSION}: run one release on all sides")
        if kind not in BODIES:
            raise ProtocolError(f"message kind {kind} is unknown, kinds are {min(BODIES)}..{max(BODIES)}")
        if len(data) != HEADER.size + length:
            raise ProtocolError(
                f"message body has {many(len(data) - HEADER.size, 'byte')}, its header says {length}: send it again"
            )
        try:
            step = Step(round, attempt, phase.rstrip(b"\0").decode("ascii"), group)
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


def read_plan(data: bytes) -> RunPlan:
    """The plan in the first message of a session; raises `ProtocolError` for any other message."""
    message = Message.from_bytes(data)
    return message.expect(RunPlan, session=message.session, sender=AGGREGATOR)
