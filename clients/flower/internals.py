"""All of Flower's inside that `run_direct` needs, in one place; tests check each part under both ends of its versions.

The rest of the bridge uses `flwr.app`, `flwr.serverapp` and `flwr.clientapp` only, which are alike from 1.22 on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, cast

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage

SERVER = cast(int, SUPERLINK_NODE_ID)


@contextmanager
def identity(run_id: int) -> Iterator[None]:
    """Within it messages can be made as by a ServerApp in a run. Before 1.35 Flower asked for no such thing."""
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:
        yield
        return
    names = ("_task_id", "_run_id", "_node_id")
    before = [getattr(TaskIdentity, name) for name in names]
    for name, value in zip(names, (1, run_id, SERVER), strict=True):
        setattr(TaskIdentity, name, value)
    try:
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(TaskIdentity, name, value)


def copied(records: RecordDict) -> RecordDict:
    """The same records; what is put into them or taken out changes the others' no more. Arrays are shared.

    What was checked once is not checked again, as it would be if each value were put in by itself.
    """
    again = RecordDict()
    for name, record in records.items():
        fresh = copy(record)
        fresh.__dict__["_data"] = {key: list(v) if isinstance(v, list) else v for key, v in record.items()}
        again.__dict__["_data"][name] = fresh
    return again


def stamp(message: Message, message_id: str, run_id: int) -> None:
    """Give a message what a SuperLink gives it: an id, its run, and whom it comes from."""
    message.metadata.__dict__.update(_message_id=message_id, _run_id=run_id, _src_node_id=SERVER)


def run_named(run_id: int) -> Any:
    """Flower's record of a run, of which there is no more to say than its id."""
    try:
        from flwr.supercore.run import Run
    except ImportError:  # before 1.35
        from flwr.common.typing import Run
    return Run.create_empty(run_id)


def failed(message: Message, reason: str) -> Message:
    """The reply that Flower's own runtime gives where a ClientApp raises."""
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)


def to_bytes(message: Message) -> bytes:
    return cast(bytes, message_to_proto(message).SerializeToString())


def from_bytes(data: bytes) -> Message:
    return message_from_proto(ProtoMessage.FromString(data))
