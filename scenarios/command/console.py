"""What a run shows on the terminal, all of it on standard error: a bar, a table row a round, logs."""

from __future__ import annotations

import logging
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from aggregator import RoundRecord
from fedlearn.logs import mark_records

COLUMNS = ("round", "loss", "accuracy", "f1", "clients", "lost", "up kB", "down kB", "seconds")
WIDTHS = (7, 9, 9, 9, 8, 6, 11, 11, 9)


class ConsoleTracker:
    """A progress bar over the rounds, and under it one table row for each."""

    def __init__(self, console: Console):
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def begin(self, rounds: int, first: int) -> None:
        self._console.print(
            "".join(name.rjust(width) for name, width in zip(COLUMNS, WIDTHS, strict=True)), style="bold"
        )
        self._bar = Progress(
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._bar.start()
        self._task = self._bar.add_task("rounds", total=rounds, completed=first - 1)

    def round(self, record: RoundRecord) -> None:
        assert self._bar is not None
        assert self._task is not None
        self._bar.console.print("".join(cell.rjust(width) for cell, width in zip(_cells(record), WIDTHS, strict=True)))
        if record.void:
            self._bar.console.print(f"        void: {record.void}", style="yellow", markup=False)
        self._bar.advance(self._task)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def _cells(record: RoundRecord) -> list[str]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    return [
        str(record.round),
        number(record.loss),
        number(record.metrics.get("accuracy")),
        number(record.metrics.get("f1")),
        str(record.clients_ok),
        str(record.clients_failed),
        f"{record.bytes_up / 1000:,.1f}",
        f"{record.bytes_down / 1000:,.1f}",
        f"{sum(record.seconds.values()):.2f}",
    ]


class _ClientFormatter(logging.Formatter):
    """Names the client and the round where a record is about one."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        client, round = getattr(record, "client", "-"), getattr(record, "round", "-")
        return text if client == "-" else f"[{client}, round {round}] {text}"


def log_to_terminal(console: Console, quiet: bool) -> None:
    """Send log records to the terminal: warnings and worse, or errors only under --quiet."""
    mark_records()
    handler = _TerminalHandler(_ConsoleStream(console))
    handler.setLevel(logging.ERROR if quiet else logging.WARNING)
    handler.setFormatter(_ClientFormatter("%(levelname)s: %(message)s"))
    root = logging.getLogger()
    for earlier in [known for known in root.handlers if isinstance(known, _TerminalHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logging.INFO)


class _TerminalHandler(logging.StreamHandler):
    """This command's own, of which there is one at a time."""


class _ConsoleStream:
    """Lets log lines pass above a running progress bar."""

    def __init__(self, console: Console):
        self._console = console

    def write(self, text: str) -> None:
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)

    def flush(self) -> None:
        sys.stderr.flush()
