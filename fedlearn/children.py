"""Child processes that leave Ctrl-C and a closed terminal to their parent, and do not run the user's script again."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType, ModuleType

from fedlearn.errors import BadInput

# Signals that end a run; Windows has no SIGHUP.
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def start_shielded(process: BaseProcess) -> None:
    """Start a process that the signals which a terminal sends to all of them never reach, not even while it starts.

    Where signals cannot be blocked (Windows) it is reached until it ignores them by itself.

    The child does not import the parent's main module, so a script needs no `if __name__ == "__main__"`. What the
    process is given must therefore be known without it: see `fedlearn.travel.packed`. Raises `BadInput` in a daemonic
    process, which may have no children.
    """
    if multiprocessing.current_process().daemon:
        raise BadInput(
            f"{process.name} must be a process of its own, and this one is daemonic, which may start none: "
            "start yours with daemon=False, or take protection none or masks in an InlinePool, which need no other"
        )
    resource_tracker.ensure_running()  # starting it by and by would unblock the signal
    with signals_later(), _main_hidden():
        if not hasattr(signal, "pthread_sigmask"):
            process.start()
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})  # which the child inherits
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_of(process: BaseProcess, patience: float) -> str:
    """The signal or the exit status that a process ended by; it is killed if it lives after `patience` seconds."""
    process.join(patience)
    process.kill()  # which changes nothing where it has ended
    process.join()
    assert process.exitcode is not None
    code = process.exitcode
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def said_of(process: BaseProcess, patience: float) -> str:
    """Same as `end_of`, in a sentence that names the process."""
    how = end_of(process, patience)
    return f"{process.name} (pid {process.pid}) ended by {how}"


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Meanwhile multiprocessing finds no script that a child should run to have its names."""
    with _hiding:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


_hiding = threading.Lock()  # two threads may start children


@contextmanager
def signals_later() -> Iterator[None]:
    """Within it, signals that end a run (Ctrl-C, SIGTERM, a closed terminal) wait until it is left.

    Use it where a process starts, until somebody holds it who will end it; and where processes are ended. In threads
    other than the main one, where no signal comes in, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    try:
        with ending_signals_to(lambda number, frame: came.append(number)):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)


@contextmanager
def ending_signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within it `handler` gets the signals that end a run. Those that this process ignores stay ignored.

    In the main thread only.
    """
    before = {each: own for each in ENDING if (own := signal.getsignal(each)) not in (None, signal.SIG_IGN)}
    for each in before:
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each, own in before.items():
            signal.signal(each, own)
