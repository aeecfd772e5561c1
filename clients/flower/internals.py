"""All of Flower's inside that `run_direct` needs, in one place; tests check each part under both ends of its versions.

The rest of the bridge uses `flwr.app`, `flwr.serverapp` and `flwr.clientapp` only, which are alike from 1.22 on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from io import BytesIO
from math import prod
from typing import Any, cast

import numpy as np
from flwr.app import Array, Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage

from fedlearn.checked import REAL

SERVER = cast(int, SUPERLINK_NODE_ID)
NPY = b"\x93NUMPY\x01\x00"  # begins an array in version 1.0 of NumPy's format, before two bytes: the header's length
FRONT = len(NPY) + 2


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


@contextmanager
def quick_arrays() -> Iterator[None]:
    """Within it a header of NumPy's format is made and parsed once, not for each array: most of a small one's cost.

    The bytes and the arrays are those that Flower makes; what is not a plain array in C order, Flower reads and writes.
    """
    read, written = Array.numpy, Array.__dict__["from_numpy_ndarray"]

    def numpy(self: Array) -> np.ndarray:
        found = _plain(self.data) if self.stype == "numpy.ndarray" else None
        return read(self) if found is None else found

    def from_numpy_ndarray(cls: type[Array], ndarray: np.ndarray) -> Array:
        if type(ndarray) is not np.ndarray or not ndarray.flags.c_contiguous or ndarray.dtype.kind not in REAL:
            return cast(Array, written.__get__(None, cls)(ndarray))
        made = Array.__new__(Array)
        data = _header(ndarray.dtype, ndarray.shape) + ndarray.tobytes()
        made.__dict__.update(dtype=str(ndarray.dtype), shape=ndarray.shape, stype="numpy.ndarray", data=data)
        return made

    Array.numpy, Array.from_numpy_ndarray = numpy, classmethod(from_numpy_ndarray)
    try:
        yield
    finally:
        Array.numpy, Array.from_numpy_ndarray = read, written


def _plain(data: bytes) -> np.ndarray | None:
    """The array, writable and of its own memory; None where NumPy should read it, and say what is wrong with it."""
    if not data.startswith(NPY):
        return None
    begin = FRONT + int.from_bytes(data[len(NPY) : FRONT], "little")
    if (parsed := _parsed(data[:begin])) is None:
        return None
    dtype, shape = parsed
    if prod(shape) == 0 or len(data) - begin != prod(shape) * dtype.itemsize:
        return None
    return np.frombuffer(data, dtype, offset=begin).copy().reshape(shape)


@lru_cache(maxsize=1024)
def _parsed(header: bytes) -> tuple[np.dtype, tuple[int, ...]] | None:
    """The type and the shape that a header gives; None where it is not one of plain numbers in C order."""
    try:
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(BytesIO(header[len(NPY) :]))
    except ValueError:
        return None
    return None if fortran or dtype.kind not in REAL else (dtype, shape)


@lru_cache(maxsize=1024)
def _header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    buffer = BytesIO()
    entries = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, entries)
    return buffer.getvalue()


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
