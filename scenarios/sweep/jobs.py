"""Processes that run the runs of a sweep, one after another: each starts Python and imports once.

A run that fails, or that takes its process with it, costs itself only. A process that is told to stop interrupts its
run, which can go on later from its last round.
"""

from __future__ import annotations

import logging
import signal
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import NoReturn

from fedlearn.children import signals_later, start_shielded

PATIENCE = 10.0  # seconds that a run is given to end in good order


@dataclass(frozen=True)
class Job:
    """A run to be run. texts: its options, as typed."""

    number: int
    scenario: str
    texts: dict[str, str]
    folder: Path
    resume: bool


@dataclass(frozen=True)
class Ended:
    """How a job ended: failure is "" where it is done; details is the traceback of what nobody expected."""

    number: int
    failure: str = ""
    details: str = ""


def run_all(jobs: Iterable[Job], workers: int, budget: float | None = None) -> Iterator[Ended]:
    """Run the jobs in `workers` processes; each as it ends. After `budget` seconds those at work are interrupted.

    What was not begun, or was interrupted, is not among what is yielded.
    """
    waiting = list(jobs)[::-1]
    deadline = None if budget is None else time.monotonic() + budget
    team: dict[Connection, _Worker] = {}
    try:
        while waiting or team:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            while waiting and len(team) < workers:
                with signals_later():
                    worker = _Worker()
                    team[worker.connection] = worker
                worker.give(waiting.pop())
            for connection in wait(list(team), left):
                assert isinstance(connection, Connection)
                worker = team[connection]
                ended = worker.ended()
                if ended is not None:
                    yield ended
                if not waiting or not worker.alive:
                    team.pop(connection).stop()
                else:
                    worker.give(waiting.pop())
    finally:
        for worker in team.values():
            worker.interrupt()
        for worker in team.values():
            worker.stop()


class _Worker:
    """One process, and the job that it is at."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), name="sweep")
        start_shielded(self.process)
        theirs.close()
        self.alive = True

    def give(self, job: Job) -> None:
        self._job = job
        with suppress(OSError):  # it died: `ended` will say so
            self.connection.send(job)

    def ended(self) -> Ended | None:
        try:
            found: Ended | None = self.connection.recv()
        except (EOFError, OSError):
            self.alive = False
            self.process.join(PATIENCE)
            return Ended(self._job.number, f"its process ended with exit status {self.process.exitcode}")
        return found

    def interrupt(self) -> None:
        with suppress(OSError):
            self.process.terminate()

    def stop(self) -> None:
        self.connection.close()
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(connection: Connection) -> None:
    """Do jobs in a process, until nobody is there to give any."""
    logging.getLogger().addHandler(logging.NullHandler())  # each run keeps its own log
    logging.getLogger().setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _stop)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            connection.send(_run(connection.recv()))


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(job: Job) -> Ended:
    from scenarios import SCENARIOS
    from scenarios.command.ending import failure_of
    from scenarios.command.options import Options
    from scenarios.command.texts import read_options

    try:
        options = Options(**read_options(job.texts) | {"out": job.folder, "resume": job.resume})
        SCENARIOS.load(job.scenario)(options)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            return Ended(job.number, f"{type(error).__name__}: {error}", traceback.format_exc())
        return Ended(job.number, failure.message)
    return Ended(job.number)
