"""A pipe to a child process that nobody waits for longer than is wanted, whatever the child does: a stopped one, too.

A process that is stopped reads nothing and may have written half a message. So what is sent and what comes passes
through two threads; whoever wants a message waits for it in a queue, as long as the `Deadline` says.
"""

from __future__ import annotations

import math
import queue
import socket
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection

AHEAD = 8  # messages that may wait to be sent or looked at: memory stays flat, and nobody waits for nothing

SLICE = 0.5  # seconds: so much of a wait counts at most between two looks at the clock


class Deadline:
    """The time that a silent party is waited for, in seconds of real time.

    seconds: as told, or None: twenty times the longest answer so far, and a minute at least. Before there was an answer
    that is a quarter of an hour.
    """

    FIRST, LEAST, TIMES = 900.0, 60.0, 20.0

    def __init__(self, seconds: float | None = None):
        self._told = seconds
        self._longest: float | None = None

    @property
    def seconds(self) -> float:
        if self._told is not None:
            return self._told
        return self.FIRST if self._longest is None else max(self.LEAST, self.TIMES * self._longest)

    def set(self, seconds: float) -> None:
        """Have it so, unless it was told otherwise."""
        self._told = self._told or seconds

    def note(self, seconds: float) -> None:
        """An answer took so long."""
        self._longest = max(seconds, self._longest or 0.0)


class Arrivals:
    """Messages of several channels, each with its sender; None in place of a message if that process has ended.

    waited: seconds that were spent in `get`. Who measures silence by it counts neither the time in which nobody
    listened, nor that in which this process and its children stood still, as from Ctrl-Z to fg.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Channel, bytes | None]] = queue.Queue(AHEAD)
        self.waited = 0.0

    def put(self, channel: Channel, message: bytes | None, seconds: float) -> None:
        """Raises `queue.Full` where there is no room for so long."""
        self._queue.put((channel, message), timeout=seconds)

    def get(self, until: float = math.inf) -> tuple[Channel, bytes | None] | None:
        """The next that comes; None where nothing does until `waited` is so much."""
        while True:
            span = min(SLICE, max(0.0, until - self.waited))
            began = time.monotonic()
            try:
                return self._queue.get(timeout=span)
            except queue.Empty:
                if self.waited >= until:
                    return None
            finally:
                self.waited += min(span, time.monotonic() - began)


class Channel:
    """The parent's end of a pipe; whole messages of bytes pass."""

    def __init__(self, connection: Connection, arrived: Arrivals):
        self._connection = connection
        self._arrived = arrived
        self._leaving: queue.Queue[bytes | None] = queue.Queue(AHEAD)
        self._ended = False
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._write)]
        for thread in self._threads:
            thread.start()

    def send(self, data: bytes, seconds: float) -> bool:
        """Hand over a message to be sent; False where the other side took nothing for so long.

        To a process that has ended nothing is sent: that no answer comes says so.
        """
        try:
            self._leaving.put(data, timeout=max(seconds, 0.001))
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Both sides read the end of the pipe, also one that waits in the middle of a message."""
        self._ended = True
        with suppress(OSError), socket.socket(fileno=self._connection.fileno()) as end:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.detach()
        with suppress(queue.Full):
            self._leaving.put_nowait(None)
        for thread in self._threads:
            thread.join(1.0)
        self._connection.close()

    def _read(self) -> None:
        with suppress(EOFError, OSError):
            while not self._ended:
                self._arrive(self._connection.recv_bytes())
        self._arrive(None)

    def _arrive(self, message: bytes | None) -> None:
        while not self._ended:
            with suppress(queue.Full):
                self._arrived.put(self, message, 0.2)
                return

    def _write(self) -> None:
        gone = False
        while (data := self._leaving.get()) is not None:
            if not gone:
                try:
                    self._connection.send_bytes(data)
                except (OSError, ValueError):
                    gone = True
            if gone and self._ended:
                return
