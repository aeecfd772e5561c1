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

from fedlearn.children import ending_signals_to
from scenarios.command.ending import as_typed

LOOKS = 0.2  # seconds between two looks at whether the run unwinds


class Interrupted(KeyboardInterrupt):
    """A signal that ends a run came in."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it a signal unwinds the run; then one line on standard error, and exit status 130, 143 or 129.

    Further ones are ignored while what the run started is ended, which takes seconds. Python drops what a finalizer
    raises, and so does some code in C. A signal that came there is sent again until the run unwinds. A signal that this
    process was started to ignore stays ignored.
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
        """Send the signal again once nobody holds its exception any more, if the run still goes on."""
        while True:
            time.sleep(LOOKS)
            with sending:
                if ended:
                    return
                if unwinding is not None and unwinding() is None:
                    _send_to_main(number)
                    return

    with ending_signals_to(stop):
        try:
            yield
        except Interrupted as interrupt:
            notes = map(as_typed, getattr(interrupt, "__notes__", []))
            with suppress(OSError):  # a terminal that was closed
                print("; ".join(["fedlearn: interrupted", *notes]), file=sys.stderr)
            raise typer.Exit(interrupt.status) from None
        finally:
            with sending:
                ended = True


def _send_to_main(number: int) -> None:
    """Send a signal to the main thread: where the system can, this interrupts what the thread waits for, too."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
