"""Files in a folder that somebody else may have written: read whole or not at all, and as plain data only."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

from fedlearn.errors import BadInput
from fedlearn.wording import many

DEEPEST = 100  # what reads a value afterwards may follow it by calling itself
MOST = 2**30  # bytes, where a file's kind has no limit of its own


def content(path: Path, most: int = MOST) -> bytes:
    """All bytes of an ordinary file.

    Raises `OSError` for one that cannot be read, for a pipe or a device, which may never end, and for one of more than
    `most` bytes.
    """
    with open(path, "rb", opener=without_waiting) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "no ordinary file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"more than {many(most, 'byte')}", str(path))
        return file.read(found.st_size)


def without_waiting(path: str, flags: int) -> int:
    """An opener for `open`: it waits for no writer where the path is that of a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def check_ordinary(folder: Path) -> None:
    """Raise `BadInput` for anything in a folder, at any depth, that is neither an ordinary file nor a folder.

    Whoever goes on writing in it would write elsewhere through a link, and wait for ever at a pipe.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            mode = os.lstat(path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise BadInput(f"{escaped(path, 200)} is a link, a pipe or a device: put the file itself there")


def from_json(data: bytes | str) -> Any:
    """The value; raises `ValueError` for what is no JSON, and for lists or objects in more than `DEEPEST` others."""
    try:
        value = json.loads(data)
    except RecursionError:
        deep = True
    else:
        deep = _depth_exceeds(value, DEEPEST)
    if deep:
        raise ValueError(f"lists or objects within more than {DEEPEST} others")
    return value


def _depth_exceeds(value: Any, most: int) -> bool:
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        inner = (part for outer in layer for part in (outer.values() if isinstance(outer, dict) else outer))
        layer = [part for part in inner if isinstance(part, dict | list)]
        if not layer:
            return False
    return True


def are_numbers(values: Any) -> bool:
    """True where it is a dict of finite numbers; null, which stands for others in our files, is one."""
    return isinstance(values, dict) and all(
        value is None or (type(value) in (int, float) and abs(value) <= sys.float_info.max) for value in values.values()
    )


def escaped(value: object, most: int = 60) -> str:
    """A value from such a file for a message: cut short, without characters that a terminal would act on."""
    return ascii(str(value)[:most])[1:-1]
