"""Trackers that come along: progress, CSV, TensorBoard. Any other is a class with `Tracker`'s three methods."""

from __future__ import annotations

import csv
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from aggregator.history import RoundRecord, Tracker
from aggregator.showing import flat_row
from fedlearn.errors import BadInput

log = logging.getLogger(__name__)


class Watched:
    """All trackers of a run; one that raises is told of in the log, and left out from then on."""

    def __init__(self, trackers: Sequence[Tracker]):
        self._trackers = list(trackers)

    def begin(self, rounds: int, first: int) -> None:
        self._tell(lambda tracker: tracker.begin(rounds, first))

    def round(self, record: RoundRecord) -> None:
        self._tell(lambda tracker: tracker.round(record))

    def end(self) -> None:
        self._tell(lambda tracker: tracker.end())

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        for tracker in tuple(self._trackers):
            try:
                what(tracker)
            except Exception as error:
                self._trackers.remove(tracker)
                name = type(tracker).__name__
                log.warning("%s failed and is left out from here on: %s: %s", name, type(error).__name__, error)


class ProgressTracker:
    """Says each round in a line, and about how long the rest takes; on standard error, or on `stream`."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream

    def begin(self, rounds: int, first: int) -> None:
        self._rounds, self._first, self._began = rounds, first, time.monotonic()

    def round(self, record: RoundRecord) -> None:
        done, left = record.round - self._first + 1, self._rounds - record.round
        seconds = (time.monotonic() - self._began) / done * left
        rest = f"; about {seconds:.0f} s left" if left else ""
        line = f"round {record.round} of {self._rounds}: {record.headline()}{rest}"
        print(line, file=self._stream or sys.stderr, flush=True)

    def end(self) -> None: ...


class CsvTracker:
    """Writes a line a round to `path`, each column one number or text.

    A column that a later round is the first to have is left out; a resumed run goes on with the file.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def begin(self, rounds: int, first: int) -> None:
        if first == 1:
            self.path.unlink(missing_ok=True)

    def round(self, record: RoundRecord) -> None:
        row = flat_row(record)
        columns = self._columns()
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns or list(row), extrasaction="ignore")
            if not columns:
                writer.writeheader()
            writer.writerow(row)

    def end(self) -> None: ...

    def _columns(self) -> list[str]:
        """Those that the file has."""
        if not self.path.exists():
            return []
        with open(self.path, newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])


class TensorBoardTracker:
    """Writes numbers of each round to `folder`, for `tensorboard --logdir FOLDER`; needs the extra `tensorboard`."""

    def __init__(self, folder: str | Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise BadInput("TensorBoardTracker needs tensorboardX: pip install 'fedlearn[tensorboard]'") from None
        self._make: Callable[[], Any] = lambda: SummaryWriter(str(folder))

    def begin(self, rounds: int, first: int) -> None:
        self._writer = self._make()

    def round(self, record: RoundRecord) -> None:
        for name, value in flat_row(record).items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._writer.add_scalar(name, value, record.round)

    def end(self) -> None:
        self._writer.close()
