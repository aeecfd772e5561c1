"""Log records that say which client and round they are about, and whether they are for the clients' side only."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TOLD = 25  # the level of what a user should know and that is no warning, as what was read of a file
logging.addLevelName(TOLD, "note")

FORMAT = "%(asctime)s %(levelname)s %(name)s [client %(client)s, round %(round)s] %(message)s"

_about: ContextVar[tuple[str, str]] = ContextVar("fedlearn_about", default=("-", "-"))
_private: ContextVar[bool] = ContextVar("fedlearn_private", default=False)


def mark_records() -> None:
    """Give every log record made from now on the attributes `client` and `round` ("-" outside a client), and `private`,
    which is True where it is made on the clients' side of a protection."""
    plain = logging.getLogRecordFactory()
    if getattr(plain, "marks_clients", False):
        return

    def factory(*args: object, **kwargs: object) -> logging.LogRecord:
        record = plain(*args, **kwargs)
        record.client, record.round = _about.get()
        record.private = _private.get()
        return record

    factory.marks_clients = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


def deliver(record: logging.LogRecord) -> None:
    """Give a record of another process to its logger here, if that logger takes records of this level."""
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


@contextmanager
def about(client: str, round: int) -> Iterator[None]:
    """Within it, log records speak of this client and round."""
    token = _about.set((client, str(round)))
    try:
        yield
    finally:
        _about.reset(token)


@contextmanager
def clients_side(private: bool = True) -> Iterator[None]:
    """Within it, log records are the clients' own: no handler of the aggregator's takes them."""
    token = _private.set(private)
    try:
        yield
    finally:
        _private.reset(token)


def alike(text: str) -> str:
    """The message that several clients say alike, whatever their numbers are."""
    return re.sub(r"-?\d[\d.,]*(e[+-]?\d+)?", "N", text)


def is_public(record: logging.LogRecord) -> bool:
    """A filter for handlers of the aggregator's side."""
    return not getattr(record, "private", False)
