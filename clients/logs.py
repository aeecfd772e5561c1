"""Workers' log records, brought to the handlers of the parent process.

multiprocessing-logging's own installer insists on forked processes. Its handler does not: each worker gets
one whose queue is of the workers' own (spawn) context, so that a worker killed while it writes a record can
block nobody else's, and hands the queue to a standard `QueueHandler` on the worker's root logger.
"""

from __future__ import annotations

import logging
import logging.handlers
from multiprocessing.context import SpawnContext
from multiprocessing.queues import Queue

from multiprocessing_logging import MultiProcessingHandler

from fedlearn.logs import mark_records


class _ParentHandlers(logging.Handler):
    """Hands a record to whatever handlers its logger has in this process."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


class WorkerLogs:
    """The parent's end of one worker's log records. `queue` goes to the worker."""

    def __init__(self, context: SpawnContext, name: str):
        self._handler = MultiProcessingHandler(name, sub_handler=_ParentHandlers())
        # The queue made by the handler is of the default context, which spawned workers refuse. Its thread
        # reads the attribute anew for every record, so this is the one it waits on from here.
        self.queue: Queue[logging.LogRecord] = context.Queue()
        self._handler.queue = self.queue
        self.level = logging.getLogger().getEffectiveLevel()

    def close(self) -> None:
        """Deliver what the worker had sent, then stop listening."""
        self._handler.close()


def send_records(queue: Queue[logging.LogRecord], level: int) -> None:
    """In a worker: send every log record to the parent, tracebacks included."""
    mark_records()
    root = logging.getLogger()
    root.handlers = [logging.handlers.QueueHandler(queue)]
    root.setLevel(level)
