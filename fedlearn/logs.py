"""Log records that say which client and round they are about, wherever they were made."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TOLD = 25  # the level of what a user should know and that is no warning, as what was read of a file
logging.addLevelName(TOLD, "note")

_about: ContextVar[tuple[str, str]] = ContextVar("fedlearn_about", default=("-", "-"))


def mark_records() -> None:
    """Give every log record made from now on the attributes `client` and `round` ("-" outside a client)."""
    plain = logging.getLogRecordFactory()
    if getattr(plain, "marks_clients", False):
        return

    def factory(*args: object, **kwargs: object) -> logging.LogRecord:
        record = plain(*args, **kwargs)
        record.client, record.round = _about.get()
        return record

    factory.marks_clients = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


@contextmanager
def about(client: str, round: int) -> Iterator[None]:
    """Within it, log records speak of this client and round."""
    token = _about.set((client, str(round)))
    try:
        yield
    finally:
        _about.reset(token)
