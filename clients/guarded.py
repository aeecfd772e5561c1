"""A client's own fault costs that client only: its work is guarded, and what went wrong is logged on its own side."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import TypeVar

from fedlearn.errors import BadInput, PoolFailure
from fedlearn.logs import about
from fedlearn.protocol import Lost

log = logging.getLogger(__name__)
T = TypeVar("T")

_traced: set[str] = set()  # errors of clients in this process whose traceback is in the log already


def guarded(client: int, name: str, round: int, work: Callable[[], T]) -> T | Lost:
    """The result of one client's work, or why the client is lost: its own fault is logged where it happens."""
    with about(name, round):
        try:
            return work()
        except Exception as error:
            return lost(client, name, round, error)


def lost(client: int, name: str, round: int, error: Exception) -> Lost:
    """Log an error under the client's name: one line for bad input, a traceback for anything else, once for all alike.

    What is no fault of the client's, as a full disk under what clients keep, is raised: it ends the run.
    """
    if isinstance(error, PoolFailure):
        raise error
    with about(name, round):
        if isinstance(error, BadInput):
            log.error("%s: %s", name, error)
            return Lost(client, str(error), refused=True)
        what = f"{type(error).__name__}: {error}"
        first = what not in _traced
        _traced.add(what)
        log.error("%s: failed in round %d, %s", name, round, what, exc_info=error if first else None)
        trace = "".join(traceback.format_exception(error))
        return Lost(client, what, trace=trace)


def trace_again() -> None:
    """From here on tracebacks are logged of errors that were logged before, too: another phase begins."""
    _traced.clear()
