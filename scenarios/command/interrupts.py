"""Ctrl-C, SIGTERM, a closed terminal: the run ends in good order, says how to go on, with the status shells expect."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import typer

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """One of `SIGNALS` came in."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it a signal unwinds the run; then one line on standard error, and exit status 130, 143 or 129.

    Further ones are ignored while what the run started is ended, which takes seconds. A signal that this process was
    started to ignore stays ignored.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {each: signal.getsignal(each) for each in SIGNALS if signal.getsignal(each) != signal.SIG_IGN}
    for each in before:
        signal.signal(each, stop)
    try:
        yield
    except Interrupted as interrupt:
        with suppress(OSError):  # a terminal that was closed
            print("; ".join(["fedlearn: interrupted", *getattr(interrupt, "__notes__", [])]), file=sys.stderr)
        raise typer.Exit(interrupt.status) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
