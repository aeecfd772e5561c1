"""Ctrl-C, SIGTERM, a closed terminal: the run ends in good order, says how to go on, with the status shells expect."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import typer

from scenarios.command.ending import as_typed

LOOKS = 0.2  # seconds between two looks at whether the run unwinds
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """One of `SIGNALS` came in."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it a signal unwinds the run; then one line on standard error, and exit status 130, 143 or 129.

    Further ones are ignored while what the run started is ended, which takes seconds. Python drops what a finalizer
    raises, and some of C code's look-ups do likewise: a signal that came there is sent again until the run unwinds. A
    signal that this process was started to ignore stays ignored.
    """
    unwinding: weakref.ref[Interrupted] | None = None
    ended = False
    sending = threading.Lock()

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal unwinding
        if unwinding is not None and unwinding() is not None:
            return
        interrupt = Interrupted(number)
        unwinding = weakref.ref(interrupt)
        _thread.start_new_thread(insist, (number,))  # threading's own takes locks, which the main thread may hold
        try:
            raise interrupt
        finally:
            del interrupt  # whoever handles it holds it, and nobody else

    def insist(number: int) -> None:
        """Send the signal again as soon as nobody holds its exception any more, and the run still goes on."""
        while True:
            time.sleep(LOOKS)
            with sending:
                if ended:
                    return
                if unwinding is not None and unwinding() is None:
                    _send_to_main(number)
                    return

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
        with sending:
            ended = True
        for each, handler in before.items():
            signal.signal(each, handler)


def _send_to_main(number: int) -> None:
    """Send a signal to the main thread, so that what it waits for is interrupted too where that can be."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
