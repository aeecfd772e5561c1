"""Letters between the aggregator and a node inside a Flower message: one `ConfigRecord` named "fedlearn".

Down goes a `Letter`, beside whatever the app's own strategy sends; up comes the bytes of one message, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgpack
from flwr.app import ConfigRecord, Message, RecordDict

from fedlearn.errors import ProtocolError
from fedlearn.protocol import Step

NAME = "fedlearn"
ANSWER = "answer"
ACTION = "fedlearn"  # of a query to a ClientApp that runs one of our clients
QUERY = f"query.{ACTION}"
START = Step(0)


@dataclass(frozen=True)
class Letter:
    """To one node.

    ask        HELLO: who it is; ENROL: with which key it signs in this session; STEP: its answer in a step.
               Of an opener KEY: its key; OPEN: its answer to the last request of `inbox`, which `for_opener` makes
    session    16 bytes; client: the number that the node has in it
    plan       the plan's whole message, where the node may not have it yet; else empty
    broadcast, inbox: whole messages or empty, as a pool gets them
    """

    HELLO: ClassVar[str] = "hello"
    ENROL: ClassVar[str] = "enrol"
    STEP: ClassVar[str] = "step"
    KEY: ClassVar[str] = "key"
    OPEN: ClassVar[str] = "open"

    ask: str
    session: bytes = b""
    client: int = 0
    step: Step = START
    plan: bytes = b""
    broadcast: bytes = b""
    inbox: bytes = b""

    def record(self) -> ConfigRecord:
        step = {"round": self.step.round, "attempt": self.step.attempt, "phase": self.step.phase}
        parts = {"plan": self.plan, "broadcast": self.broadcast, "inbox": self.inbox}
        return ConfigRecord({"ask": self.ask, "session": self.session, "client": self.client, **step, **parts})

    @classmethod
    def of(cls, records: RecordDict) -> Letter | None:
        """The letter among a message's records, None where there is none; raises `ProtocolError` for what is none."""
        record = records.config_records.get(NAME)
        if record is None:
            return None
        wanted = {"ask": str, "session": bytes, "client": int, "round": int, "attempt": int, "phase": str}
        wanted |= dict.fromkeys(("plan", "broadcast", "inbox"), bytes)
        values = _typed(dict(record), wanted)
        step = Step(values["round"], values["attempt"], values["phase"])
        parts = {name: values[name] for name in ("plan", "broadcast", "inbox")}
        return cls(values["ask"], values["session"], values["client"], step, **parts)


def _typed(values: Mapping[str, Any], wanted: Mapping[str, type]) -> Mapping[str, Any]:
    for name, kind in wanted.items():
        if type(values.get(name)) is not kind:
            raise ProtocolError(f"a letter's {name} is {values.get(name)!r:.80}: run one release on all sides")
    return values


def for_opener(updates: Sequence[bytes], requests: Sequence[bytes]) -> bytes:
    """An inbox: all signed updates of an attempt, and the requests so far, since each message finds an opener anew."""
    data: bytes = msgpack.packb([list(updates), list(requests)])
    return data


def of_opener(inbox: bytes) -> tuple[list[bytes], list[bytes]]:
    """Read `for_opener`; raises `ProtocolError` for anything else."""
    try:
        updates, requests = msgpack.unpackb(inbox)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        updates, requests = None, None
    if not (_all_bytes(updates) and _all_bytes(requests) and requests):
        raise ProtocolError("a letter to an opener cannot be read: run one release on all sides")
    return updates, requests


def _all_bytes(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, bytes) for value in values)


def answered(data: bytes, asked: Message) -> Message:
    """The Flower message that brings an answer."""
    return Message(RecordDict({NAME: ConfigRecord({ANSWER: data})}), reply_to=asked)


def answer_of(reply: Message) -> bytes:
    """Read `answered`; raises `ProtocolError` for a reply that says anything else."""
    record = reply.content.config_records.get(NAME)
    data = None if record is None else record.get(ANSWER)
    if not isinstance(data, bytes):
        raise ProtocolError("it answered in the clear: put secure_mod first into its ClientApp's mods")
    return data
