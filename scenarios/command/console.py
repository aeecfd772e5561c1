"""The terminal's log of a run, and standard error that outlives it."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console

from fedlearn.logs import TOLD, alike, is_public, mark_records
from fedlearn.wording import many
from scenarios.command.clientslog import first_error
from scenarios.command.ending import as_typed, shown


class _ClientFormatter(logging.Formatter):
    """Names the client and the round where a record is about one."""

    def format(self, record: logging.LogRecord) -> str:
        message, *trace = super().format(record).split("\n")  # code in a traceback is shown as it is
        text = "\n".join(map(shown, [as_typed(message), *trace]))
        client, round = getattr(record, "client", "-"), getattr(record, "round", "-")
        return text if client == "-" else f"[{client}, round {round}] {text.replace(f'{client}: ', '', 1)}"


@contextmanager
def log_to_terminal(console: Console, quiet: bool) -> Iterator[None]:
    """Send log records to the terminal meanwhile: notes and worse, or errors only under --quiet.

    What several clients say alike is shown once, and how often at the end; what the run ends with is left to that.
    """
    mark_records()
    handler = _TerminalHandler(_ConsoleStream(console))
    handler.addFilter(is_public)
    handler.setLevel(logging.ERROR if quiet else TOLD)
    handler.setFormatter(_ClientFormatter("%(levelname)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    ended: BaseException | None = None
    try:
        yield
    except BaseException as error:
        ended = error
        raise
    finally:
        root.removeHandler(handler)
        handler.say_the_rest(str(ended or ""))


class _TerminalHandler(logging.StreamHandler[Any]):
    """Shows what is said of a client once, however many it is said of."""

    def __init__(self, stream: _ConsoleStream):
        super().__init__(stream)
        self._again: dict[str, int] = {}
        self._held: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "client", "-") == "-":
            self._show_held()
            super().emit(record)
            self._show_beginning(getattr(record, "clients_log", None))
            return
        said = alike(_without_name(record))
        if said in self._again:
            self._again[said] += 1
            return
        self._show_held()
        self._again[said], self._held = 0, record  # held back until it is clear that the run does not end with it

    def _show_beginning(self, clients_log: Path | None) -> None:
        """Of what the clients' side said: whoever simulates a federation is all of its parties."""
        if clients_log is not None:
            line = first_error(clients_log)
            self.stream.write(f"the clients' side, for you alone: {line}\n" if line else "")

    def _show_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            super().emit(held)

    def say_the_rest(self, end: str) -> None:
        """Show what is left. end: what the run ended with."""
        end = alike(end)
        if self._held is not None and alike(_without_name(self._held)) in end:
            self._held = None
        self._show_held()
        for said, times in self._again.items():
            if times and said not in end:
                self.stream.write(f"and {many(times, 'time')} more: {said}\n")


def _without_name(record: logging.LogRecord) -> str:
    """The text of a record about a client, but for its name at the beginning."""
    return record.getMessage().removeprefix(f"{getattr(record, 'client', '-')}: ")


class _ConsoleStream:
    """Lets log lines pass above a running progress bar."""

    def __init__(self, console: Console):
        self._console = console

    def write(self, text: str) -> None:
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)

    def flush(self) -> None:
        sys.stderr.flush()


class _StandardError(io.TextIOBase):
    """Standard error as it is now; what cannot be written, because the terminal was closed, is lost without a word.

    A progress bar puts something of its own in the place of `sys.stderr`, which writes here.
    """

    def __init__(self) -> None:
        self._stream = sys.stderr

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def standard_error() -> TextIO:
    """The stream of terminal output; it outlives the terminal."""
    return cast(TextIO, _StandardError())
