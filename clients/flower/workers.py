"""Nodes of a Flower app in worker processes: a node stays in its worker, and so does what it remembers."""

from __future__ import annotations

import math
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from typing import Any

import msgpack
from flwr.app import Message

from clients.flower import internals
from clients.flower.nodes import Answer, Nodes, Terms, partition
from clients.flower.seeds import one_thread, seed_all
from fedlearn.children import end_of, said_of, signals_later, start_shielded
from fedlearn.errors import BadInput, PoolFailure
from fedlearn.travel import packed, unpacked

AT_ONCE = 8  # messages that a worker is sent together
LATE = 60.0  # seconds beyond a timeout in which answers that were begun may come
PATIENCE = 5.0  # seconds that workers are given to end by themselves


class Workers:
    """So many processes; node n lives in number n % workers. Raises `BadInput` for an app that cannot be sent."""

    def __init__(self, workers: int, client_app: Callable[..., Any], terms: Terms):
        try:
            parts = packed((client_app, terms))
        except Exception as error:  # whatever the app holds
            raise BadInput(
                f"the ClientApp cannot be sent to worker processes ({error}): make what it uses in its functions, "
                "or take workers=1"
            ) from error
        self._workers: list[_Worker] = []
        try:
            with signals_later():
                self._workers += [_Worker(number, parts, terms.seed) for number in range(min(workers, terms.nodes))]
            for worker in self._workers:
                worker.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def answers(self, messages: Sequence[Message], until: float) -> Iterator[tuple[int, Answer]]:
        """The answers as they come, each with the number of its message; none that would begin after `until`."""
        waiting: dict[_Worker, deque[int]] = {worker: deque() for worker in self._workers}
        for number, message in enumerate(messages):
            waiting[self._workers[partition(message) % len(self._workers)]].append(number)
        busy: dict[Connection, tuple[_Worker, list[int]]] = {}
        while True:
            for worker, numbers in waiting.items():
                if numbers and worker.connection not in busy and time.monotonic() < until:
                    chunk = [numbers.popleft() for _ in range(min(AT_ONCE, len(numbers)))]
                    worker.send([messages[number] for number in chunk])
                    busy[worker.connection] = worker, chunk
            if not busy:
                return
            patience = None if until == math.inf else max(0.0, until + LATE - time.monotonic())
            ready_ones = connection.wait(list(busy), patience)
            if not ready_ones:
                late = sorted(partition(messages[number]) for _, chunk in busy.values() for number in chunk)
                raise PoolFailure(
                    f"nodes with partition-id {', '.join(map(str, late))} did not answer within the timeout"
                )
            for ready in ready_ones:
                worker, chunk = busy.pop(ready)  # type: ignore[call-overload]
                yield from zip(chunk, worker.receive([messages[number] for number in chunk]), strict=True)

    def close(self) -> None:
        for worker in self._workers:
            worker.connection.close()
        end = time.monotonic() + PATIENCE
        for worker in self._workers:
            end_of(worker.process, max(0.0, end - time.monotonic()))


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, number: int, parts: bytes, seed: int):
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        name = f"flower-worker-{number}"
        self.process = context.Process(target=_work, args=(theirs, parts, seed), name=name, daemon=True)
        start_shielded(self.process)
        theirs.close()  # so that the worker's death is the end of the pipe

    def wait_until_ready(self) -> None:
        try:
            error = self.connection.recv_bytes().decode()
        except (EOFError, OSError):
            raise PoolFailure(
                f"{said_of(self.process, PATIENCE)} before it was ready: its error stands above"
            ) from None
        if error:
            raise BadInput(f"the ClientApp cannot be built in a worker process ({error}): take workers=1")

    def send(self, messages: list[Message]) -> None:
        with suppress(OSError):  # that it ended is seen when its answer is read
            self.connection.send_bytes(pickle.dumps(messages))

    def receive(self, messages: list[Message]) -> list[Answer]:
        try:
            data = self.connection.recv_bytes()
        except (EOFError, OSError):
            nodes = ", ".join(str(partition(message)) for message in messages)
            raise PoolFailure(
                f"{said_of(self.process, PATIENCE)} while it ran nodes with partition-id {nodes}, and what its nodes "
                "remember is gone with it: if memory was short, take fewer workers"
            ) from None
        return [Answer(internals.from_bytes(reply), trace) for reply, trace in msgpack.unpackb(data)]


def _work(pipe: Connection, parts: bytes, seed: int) -> None:
    """A worker's life: answer the messages that come, until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    seed_all(seed)  # for what modules draw when they are imported
    try:
        nodes = Nodes(*unpacked(parts))
    except Exception as error:  # whatever importing the app does
        pipe.send_bytes(f"{type(error).__name__}: {error}".encode())
        return
    pipe.send_bytes(b"")
    with (
        one_thread(),
        internals.identity(nodes.terms.run_id),
        internals.quick_arrays(),
        suppress(EOFError, OSError),
    ):  # the parent has closed the pipe
        while True:
            answers = map(nodes.answer, pickle.loads(pipe.recv_bytes()))
            pipe.send_bytes(msgpack.packb([(internals.to_bytes(answer.reply), answer.trace) for answer in answers]))
