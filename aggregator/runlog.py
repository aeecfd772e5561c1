"""The log of a run, in a file of its folder: what this process and its workers log while it goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedlearn.logs import FORMAT, is_public, mark_records


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Meanwhile log records are added to this file, but for those of the clients' side.

    Where its end cannot be written (a full disk), an error that comes out of the body is still the one to report.
    """
    mark_records()
    log = _RunLog(path, encoding="utf-8")
    log.setFormatter(logging.Formatter(FORMAT))
    log.addFilter(is_public)
    logging.getLogger().addHandler(log)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            _end(log)
        raise
    _end(log)


def _end(log: logging.Handler) -> None:
    logging.getLogger().removeHandler(log)
    log.close()


class _RunLog(logging.FileHandler):
    """Silent where it cannot be written: a checkpoint cannot be either then, which ends the run with the reason."""

    def handleError(self, record: logging.LogRecord) -> None: ...  # noqa: N802
