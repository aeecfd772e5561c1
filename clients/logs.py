"""Workers' log records, brought to the handlers of the parent process as plain fields.

multiprocessing-logging's own installer insists on forked processes. Its handler does not: each worker gets one that
reads a pipe in the place of a queue, so that a worker killed while it writes a record can block nobody else's, and
what a worker sends is never unpickled. Under a protection a worker's records stay with it (`clients/ownlog.py`).
"""

from __future__ import annotations

import logging
import logging.handlers
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path
from queue import Empty

from multiprocessing_logging import MultiProcessingHandler

from clients.wire import read_record, write_record
from fedlearn.disk import naming
from fedlearn.errors import ProtocolError
from fedlearn.logs import deliver, mark_records

SEMAPHORES = Path("/dev/shm")  # where Linux keeps them, without a word of it in its errors


class _ParentHandlers(logging.Handler):
    """Hands a record to whatever handlers its logger has in this process."""

    def emit(self, record: logging.LogRecord) -> None:
        deliver(record)


class _Records:
    """A pipe as the handler's thread takes records from it: what it asks of a queue."""

    def __init__(self, pipe: Connection):
        self._pipe = pipe

    def get(self, timeout: float) -> logging.LogRecord:
        if not self._pipe.poll(timeout):
            raise Empty
        try:
            return read_record(self._pipe.recv_bytes())
        except ProtocolError:  # from a worker that is not what it was
            raise Empty from None

    def qsize(self) -> int:
        with suppress(OSError):
            return int(self._pipe.poll())
        return 0

    def close(self) -> None:
        self._pipe.close()

    def join_thread(self) -> None: ...


class WorkerLogs:
    """The parent's end of one worker's log records. `pipe` goes to the worker, and is closed here once it has it."""

    def __init__(self, context: SpawnContext, name: str):
        with naming(SEMAPHORES):
            self._handler = MultiProcessingHandler(name, sub_handler=_ParentHandlers())
        receiving, self.pipe = context.Pipe(duplex=False)
        # Its thread reads the attribute anew for every record, so this is the one it waits on from here.
        self._handler.queue = _Records(receiving)
        self.level = logging.getLogger().getEffectiveLevel()

    def close(self) -> None:
        """Deliver what the worker had sent, then stop listening."""
        self._handler.close()


class _Sender(logging.handlers.QueueHandler):
    """Writes records, their tracebacks made text, to a pipe."""

    queue: Connection  # type: ignore[assignment]

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the parent is gone
            self.queue.send_bytes(write_record(record))


def send_records(pipe: Connection, level: int) -> None:
    """In a worker: send every log record to the parent, tracebacks included."""
    mark_records()
    root = logging.getLogger()
    root.handlers = [_Sender(pipe)]  # type: ignore[arg-type]
    root.setLevel(level)
