"""Trackers that come along: progress, CSV, TensorBoard. Any other is a class with `Tracker`'s three methods."""

from __future__ import annotations

import csv
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from aggregator.history import RoundRecord, Tracker
from aggregator.showing import flat_row
from aggregator.watching import Follower, Outlook, Pace, Phase, somebody_watches, span
from fedlearn.disk import at_home
from fedlearn.errors import BadInput


class ProgressTracker:
    """Says what a run is about to do and how far it is, on standard error or on `stream`.

    live: one line that changes, for a terminal or a notebook; else a line a round. By default what suits `stream`.
    """

    def __init__(self, stream: TextIO | None = None, live: bool | None = None):
        self._stream = stream
        self._live = (somebody_watches() if stream is None else stream.isatty()) if live is None else live
        self._outlook: Outlook | None = None
        self._width = 0  # of the line that changes
        self._headline = ""

    def outlook(self, outlook: Outlook) -> None:
        self._outlook = outlook
        self._print(str(outlook))

    def begin(self, rounds: int, first: int) -> None:
        self._rounds, self._pace = rounds, Pace(rounds, first, self._outlook)

    def phase(self, phase: Phase) -> None:
        self._pace.phase(phase)
        if self._live:
            self._show(f"round {phase.round} of {self._rounds}: {phase}{self._headline}{self._left()}")

    def round(self, record: RoundRecord) -> None:
        self._pace.round(record)
        line = f"round {record.round} of {self._rounds}: {record.headline()}"
        self._headline = f", {record.headline()}"
        self._show(line + self._left()) if self._live else self._print(line + self._left())

    def end(self) -> None:
        if self._live and self._width:
            self._print("")
        self._width = 0

    def _left(self) -> str:
        left = self._pace.left()
        return "" if left is None else f"; about {span(left)} left"

    def _show(self, line: str) -> None:
        """In the place of the line before, which may have been longer."""
        line = line[: shutil.get_terminal_size().columns - 1]
        print(f"\r{line:<{self._width}}", end="", file=self._stream or sys.stderr, flush=True)
        self._width = len(line)

    def _print(self, line: str) -> None:
        print(line, file=self._stream or sys.stderr, flush=True)


def everybody(trackers: Sequence[Tracker], progress: bool | None) -> list[Tracker]:
    """All who watch, and whoever sits before the terminal; progress: as `Aggregator.fit` is told."""
    if progress not in (None, True, False):
        raise BadInput(f"progress is {progress!r:.80}: give True, False or None")
    if progress is None:
        progress = somebody_watches() and not any(isinstance(tracker, Follower) for tracker in trackers)
    return [*trackers, *([ProgressTracker()] if progress else [])]


class CsvTracker:
    """Writes a line a round to `path`, each column one number or text.

    Where a round has other columns than those before, the file is written again. A resumed run goes on with it.
    """

    def __init__(self, path: str | Path):
        self.path = at_home(path)

    def begin(self, rounds: int, first: int) -> None:
        if first == 1:
            self.path.unlink(missing_ok=True)

    def round(self, record: RoundRecord) -> None:
        row = flat_row(record)
        columns = self._columns()
        if row.keys() - set(columns):
            rows = self._rows()
            columns = list(dict.fromkeys([*columns, *row]))
            self._write("w", columns, rows)
        self._write("a", columns, [row])

    def end(self) -> None: ...

    def _columns(self) -> list[str]:
        """The columns that the file has."""
        if not self.path.exists():
            return []
        with open(self.path, newline="", encoding="utf-8", errors="replace") as file:
            return next(csv.reader(file), [])

    def _rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        with open(self.path, newline="", encoding="utf-8", errors="replace") as file:
            return list(csv.DictReader(file))

    def _write(self, mode: str, columns: list[str], rows: list[dict[str, Any]]) -> None:
        with open(self.path, mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")  # of a line with more than the columns
            if mode == "w":
                writer.writeheader()
            writer.writerows(rows)


class TensorBoardTracker:
    """Writes numbers of each round to `folder`, for `tensorboard --logdir FOLDER`; needs the extra `tensorboard`."""

    def __init__(self, folder: str | Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise BadInput("TensorBoardTracker needs tensorboardX: pip install 'fedlearn[tensorboard]'") from None
        self._make: Callable[[], Any] = lambda: SummaryWriter(str(at_home(folder)))

    def begin(self, rounds: int, first: int) -> None:
        self._writer = self._make()

    def round(self, record: RoundRecord) -> None:
        for name, value in flat_row(record).items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._writer.add_scalar(name, value, record.round)

    def end(self) -> None:
        self._writer.close()
