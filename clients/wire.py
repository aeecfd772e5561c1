"""Messages of a worker process to its pool, as bytes: plain fields (MessagePack), from which nothing is executed.

A worker does what its clients' code does, and shares its pool's process with the aggregator. Were its answers pickles,
whatever a client's code sends would run there. The way down may be pickles: the pool makes those itself.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping, Sequence
from typing import Any

import msgpack

from fedlearn import errors
from fedlearn.errors import FedlearnError, PoolFailure, ProtocolError
from fedlearn.protocol import Answer, ClientId, Lost, Message, Partial, Reply

Said = Sequence[Answer] | Sequence[bytes] | Exception | None
RECORD: Mapping[str, type] = {  # the fields of a log record that travel
    "name": str, "levelno": int, "levelname": str, "msg": str, "created": float, "msecs": float, "filename": str,
    "pathname": str, "module": str, "lineno": int, "funcName": str, "process": int, "processName": str, "client": str,
    "round": str,
}  # fmt: skip


def write_said(value: Said) -> bytes:
    """Answers to a step, messages of clients, nothing, or an error that ends the run."""
    if isinstance(value, OSError):
        return _packed(["os error", value.errno, value.strerror or str(value), value.filename and str(value.filename)])
    if isinstance(value, Exception):
        known = next(kind.__name__ for kind in type(value).__mro__ if getattr(errors, kind.__name__, None) is kind)
        return _packed(["error", known, str(value)])
    if value and not isinstance(value[0], bytes):
        return _packed(["answers", [_fields(answer) for answer in value]])  # type: ignore[arg-type]
    return _packed(["messages", value and list(value)])


def read_said(data: bytes) -> Said:
    """Read what `write_said` was given; raises `ProtocolError` for any other bytes."""
    match _unpacked(data):
        case ["answers", list(answers)]:
            return [_answer(fields) for fields in answers]
        case ["messages", None]:
            return None
        case ["messages", list(messages)] if all(isinstance(message, bytes) for message in messages):
            return list(messages)
        case ["error", str(kind), str(text)]:
            known = getattr(errors, kind, None)
            return (known if isinstance(known, type) and issubclass(known, FedlearnError) else FedlearnError)(text)
        case ["os error", int(number), str(text), str() | None as file]:
            return OSError(number, text, file)
        case ["os error", None, str(text), None]:
            return OSError(text)
    raise ProtocolError("it sent what is no answer")


def read_answers(data: bytes, clients: Container[ClientId]) -> Said:
    """The same from a worker that has these clients; raises `ProtocolError` too where it answers for others.

    Of errors only those of the machine that all workers share are passed on; any other costs the worker.
    """
    value = read_said(data)
    if isinstance(value, Exception) and not isinstance(value, PoolFailure | OSError):
        raise ProtocolError(f"it raised {type(value).__name__}, of which its own log has the text")
    if not isinstance(value, Exception) and not all(
        isinstance(answer, Answer) and all(client in clients for client in answer.clients) for answer in value or [None]
    ):
        raise ProtocolError("it answered for clients that it does not have")
    return value


def enrols(message: object, clients: Container[ClientId]) -> bool:
    """True if it may be an enrolment of one of a worker's own clients; one of another's is not passed on."""
    try:
        return isinstance(message, bytes) and Message.from_bytes(message).sender in clients
    except ProtocolError:
        return False


def write_record(record: logging.LogRecord) -> bytes:
    """A log record whose message is made. Its traceback must be part of that."""
    return _packed({name: kind(getattr(record, name, None) or kind()) for name, kind in RECORD.items()})


def read_record(data: bytes) -> logging.LogRecord:
    """Read what `write_record` was given; raises `ProtocolError` for any other bytes."""
    fields = _unpacked(data)
    if not isinstance(fields, dict) or {name: type(value) for name, value in fields.items()} != RECORD:
        raise ProtocolError("it sent what is no log record")
    return logging.makeLogRecord(fields)


def _fields(answer: Answer) -> list[Any]:
    match answer:
        case Reply():
            return ["reply", answer.client, answer.data]
        case Partial():
            return ["partial", list(answer.clients), answer.data]
        case _:
            return ["lost", answer.client, answer.reason, answer.again, answer.refused, answer.trace]


def _answer(fields: Any) -> Answer:
    match fields:
        case ["reply", int(client), bytes(data)]:
            return Reply(client, data)
        case ["partial", list(clients), bytes(data)] if clients and all(isinstance(client, int) for client in clients):
            return Partial(tuple(clients), data)
        case ["lost", int(client), str(reason), bool(again), bool(refused), str() | None as trace]:
            return Lost(client, reason, again, refused, trace)
    raise ProtocolError("it sent what is no answer")


def _packed(value: Any) -> bytes:
    data: bytes = msgpack.packb(value, unicode_errors="surrogatepass")  # a file's name need not be UTF-8
    return data


def _unpacked(data: bytes) -> Any:
    try:
        return msgpack.unpackb(data, unicode_errors="surrogatepass")
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        raise ProtocolError("it sent what is no answer") from None
