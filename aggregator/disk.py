"""Writing to the disk so that it is known what is left where the process dies, the machine does, or no room is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: Path, data: bytes, sync: bool = True) -> None:
    """Write `data` so that `path` holds either what it held before or all of it, whenever the process dies.

    sync: also if the machine does. Where it cannot be written (a full disk), nothing half-written stays.
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def line_added(path: Path, line: str) -> Iterator[None]:
    """Append a line to a file; where it cannot be written, or the body cannot write what belongs to it, nothing."""
    with open(path, "ab", buffering=0) as file:
        before = file.tell()
        data = line.encode() + b"\n"
        try:
            while data:
                data = data[file.write(data) :]
            yield
        except OSError:
            file.truncate(before)
            raise


def force(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
