"""Writing to the disk so that it is known what is left where the process dies, the machine does, or no room is left."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from itertools import chain, count
from pathlib import Path
from typing import Any

from fedlearn.errors import BadInput


def at_home(path: str | os.PathLike[str]) -> Path:
    """The path with the user's home in the place of a ~ at its beginning; the ~name of an unknown user stays.

    Raises `BadInput` for an empty text, as of a variable that is not set: pathlib takes it for this folder.
    """
    if path == "":
        raise BadInput("a path is empty: give one, '.' where this folder is meant")
    return Path(os.path.expanduser(path))  # pathlib's own raises RuntimeError for an unknown user


def beside(path: Path) -> Path:
    """The path of a file's new content until it is whole."""
    return path.with_name(path.name + ".tmp")


def write_atomic(path: Path, data: bytes, sync: bool = True) -> None:
    """Write `data` so that `path` holds either what it held before or all of it, whenever the process dies.

    sync: also if the machine does. Where it cannot be written (a full disk), nothing half-written stays.
    """
    new = str(beside(path))
    try:
        with naming(path), open(new, "wb", buffering=0) as file:
            _write_all(file, data)
            if sync:
                os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(new)
        if isinstance(error, OSError) and error.filename == new:
            error.filename = str(path)  # the name that whoever asked for it knows
        raise


def _write_all(file: FileIO, data: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part, without an error."""
    while data:
        data = data[file.write(data) :]


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used to one that nobody reads; returns where it is kept."""
    moved = aside(path)
    os.rename(path, moved)
    return moved


def aside(path: Path) -> Path:
    """A free path beside a file that cannot be used, where it may be kept."""
    return unused(path.with_name(f"{path.name}.damaged"))


def unused(path: Path) -> Path:
    """The path where nothing is there yet, else the first free one of NAME-2, NAME-3 and so on beside it."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(candidate for candidate in chain([path], numbered) if not candidate.exists())


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Meanwhile no other process writes in a folder that asks for the same; `BadInput` where one does already.

    The system ends that with the process, however it ends. A file system without locks lets everybody in.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(
                    f"another process writes in {folder}: wait until its run has ended, or give another folder"
                ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def added(path: Path, data: bytes, mode: int = 0o666) -> Iterator[int]:
    """Add to the end of a file; where not all of it can be written, or the body raises OSError, nothing is added.

    mode: of a file that is new. Yields the file's descriptor.
    """
    opener = partial(os.open, mode=mode)
    with naming(path), open(path, "ab", buffering=0, opener=opener) as file:
        before = file.tell()
        try:
            _write_all(file, data)
            yield file.fileno()
        except OSError:
            file.truncate(before)
            raise


def append(path: Path, data: bytes, mode: int = 0o666, sync: bool = True) -> None:
    """Add to the end of a file as `added` does. sync: return when all of it is on the disk."""
    with added(path, data, mode) as descriptor:
        if sync:
            os.fsync(descriptor)


class naming:  # noqa: N801 (used as a function is)
    """Within it, an error of the system that names no file, as those of open files do not, names this one."""

    def __init__(self, path: str | Path):
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(self._path)


_STRICT = json.JSONEncoder(allow_nan=False)


def strict_json(value: Any, indent: int | None = None) -> str:
    """Plain data as JSON that every reader takes: NaN and infinity, which JSON has no words for, are null."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False) if indent else _STRICT.encode(value)
    except (ValueError, TypeError):  # a number that is not finite, or a mapping that is no dict: both are rare
        return json.dumps(_without_nan(value), indent=indent, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def force(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
