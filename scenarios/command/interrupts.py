"""Ctrl-C, SIGTERM, a closed terminal: the run ends in good order, says how to go on, with the status shells expect."""

from __future__ import annotations

import signal
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import typer

from scenarios.command.ending import as_typed

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """One of `SIGNALS` came in."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it a signal unwinds the run; then one line on standard error, and exit status 130, 143 or 129.

    Further ones are ignored while what the run started is ended, which takes seconds. One that came while Python ran a
    finalizer is lost, since what these raise goes nowhere; so the next one unwinds the run. A signal that this process
    was started to ignore stays ignored.
    """
    unwinding: weakref.ref[Interrupted] | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal unwinding
        if unwinding is not None and unwinding() is not None:
            return
        interrupt = Interrupted(number)
        unwinding = weakref.ref(interrupt)
        try:
            raise interrupt
        finally:
            del interrupt  # whoever handles it holds it, and nobody else

    before = {each: signal.getsignal(each) for each in SIGNALS if signal.getsignal(each) != signal.SIG_IGN}
    for each in before:
        signal.signal(each, stop)
    try:
        yield
    except Interrupted as interrupt:
        with suppress(OSError):  # a terminal that was closed
            print(
                "; ".join(["fedlearn: interrupted", *map(as_typed, getattr(interrupt, "__notes__", []))]),
                file=sys.stderr,
            )
        raise typer.Exit(interrupt.status) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
