"""The log of the clients' side about its own work, kept apart from what the aggregator's side may read.

An error's text may quote a client's words or count its values, and so may any log record that its work makes. Under a
protection these go to one file that only this user can read, or else to standard error of the process where the client
lives; the aggregator is told a code (`fedlearn.protocol.Loss`). In a real deployment each client would keep its own.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from fedlearn.logs import FORMAT, is_public


class _OwnFile(logging.FileHandler):
    """Created of mode 0600 when the first record comes. Silent where it cannot be written: no run ends with that."""

    def __init__(self, file: Path):
        super().__init__(file, encoding="utf-8", delay=True)

    def _open(self) -> TextIO:  # type: ignore[override]
        return open(self.baseFilename, "a", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600))

    def handleError(self, record: logging.LogRecord) -> None: ...  # noqa: N802


def keep_records(file: Path | None) -> None:
    """In a worker, whose clients are under a protection: from now on all of its records are theirs."""
    seen = file is not None and file.parent.is_dir()  # not from every node of a cluster
    handler = _OwnFile(file) if file is not None and seen else logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.getLogger().handlers = [handler]


@contextmanager
def private_records_in(file: Path | None) -> Iterator[None]:
    """Meanwhile records that `clients_side` marks in this process, which may be the aggregator's too, go to the file.

    Without one they go wherever a program that uses this library has its records go.
    """
    kept = [handler.baseFilename for handler in logging.getLogger().handlers if isinstance(handler, _OwnFile)]
    if file is None or os.path.abspath(file) in kept:  # another session's clients keep theirs there: once is enough
        yield
        return
    handler = _OwnFile(file)
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(lambda record: not is_public(record))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
