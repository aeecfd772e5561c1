"""A run as it goes, on the terminal: what it is about to do, one line that says where it is, a table row a round."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

from aggregator import RoundRecord
from aggregator.watching import Outlook, Pace, Phase, span

METRIC_WIDTH = 9
WIDTHS = {"round": 7, "clients": 8, "lost": 5, "up kB": 10, "down kB": 10, "seconds": 8}
SHOWN_FIRST = ("round", "clients", "seconds", "lost", "up kB", "down kB")  # beside the metrics, where room is scarce
BAR_WIDTH = 20
BAR_FROM = 100  # columns of a terminal that has room for a bar beside the words
WORTH_TELLING = 10.0  # seconds that the rest takes, for a line about it after the first round


class ConsoleTracker:
    """On a terminal a line that changes, with the round, its phase, the loss and the time left; above it the table."""

    def __init__(self, console: Console):
        self._console = console
        self._outlook: Outlook | None = None
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._columns: list[str] = []  # of the table, chosen when the first round with other metrics is
        self._known: set[str] = set()
        self._loss = ""

    def outlook(self, outlook: Outlook) -> None:
        self._outlook = outlook
        self._say(str(outlook))

    def begin(self, rounds: int, first: int) -> None:
        self._rounds, self._first, self._columns = rounds, first, []
        self._pace = Pace(rounds, first, self._outlook)
        bar = [BarColumn(BAR_WIDTH)] if self._console.width >= BAR_FROM else []
        self._live = Progress(
            *bar, _Where(self._pace), console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._live.start()
        self._task = self._live.add_task("", total=rounds, completed=first - 1, round=first)

    def phase(self, phase: Phase) -> None:
        self._pace.phase(phase)
        done = phase.round - 1 + (phase.done / phase.of if phase.of else 0)
        self._update(phase.round, f"{self._loss}: {phase}", done)

    def round(self, record: RoundRecord) -> None:
        self._pace.round(record)
        values = cells(record)
        if not self._columns or record.metrics.keys() - self._known:
            self._known = set(record.metrics)
            room = self._console.width if self._console.is_terminal else sys.maxsize
            self._columns = chosen(values, room)
            self._say(line({name: name for name in values}, self._columns), style="bold")
        self._say(line(values, self._columns))
        self._say_how_long(record)
        self._loss = f", loss {record.loss:.4f}" if record.loss is not None else ""
        self._update(record.round, self._loss, record.round)

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _say_how_long(self, record: RoundRecord) -> None:
        left = self._pace.left() or 0.0
        if record.round == self._first and left > WORTH_TELLING:
            more = self._rounds - record.round
            self._say(f"        as long as that each, {more:,} more take about {span(left)}", style="dim")

    def _update(self, round: int, text: str, done: float) -> None:
        """Show how far the round is. text: what follows the round and the time left."""
        if self._live is not None and self._task is not None:
            self._live.update(self._task, description=text, completed=done, round=round)

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


class _Where(ProgressColumn):
    """The round, the time left, which is counted down between reports too, and the phase; cut off where room ends."""

    def __init__(self, pace: Pace):
        super().__init__(Column(no_wrap=True, overflow="ellipsis"))
        self._pace = pace

    def render(self, task: Task) -> Text:
        left = self._pace.left()
        time_left = "" if left is None else f", {span(left)} left"
        return Text(f"round {task.fields['round']} of {task.total:.0f}{time_left}{task.description}")


def cells(record: RoundRecord) -> dict[str, str]:
    """A row by column; the metrics are those that the round has."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    return {
        "round": str(record.round),
        "loss": number(record.loss),
        **{name: number(value) for name, value in record.metrics.items()},
        **{name: f"{value:.3f}" for name, value in epsilons(record).items()},
        **({} if record.clip is None else {"clip": f"{record.clip:.4g}"}),
        **({"bound": f"{max(record.bound.values()):.4g}"} if record.bound else {}),
        "clients": str(record.clients_ok),
        "lost": str(record.clients_failed),
        "up kB": f"{record.bytes_up / 1000:,.1f}",
        "down kB": f"{record.bytes_down / 1000:,.1f}",
        "seconds": f"{sum(record.seconds.values()):.2f}",
    }


def epsilons(record: RoundRecord) -> dict[str, float]:
    """The cost of the rounds so far in privacy, by name; nothing without noise."""
    of = "" if record.unit in (None, "client") else f"/{record.unit}"
    both = {f"epsilon{of}": record.epsilon, f"epsilon_aggregator{of}": record.epsilon_aggregator}
    return {name: value for name, value in both.items() if value is not None}


def chosen(row: dict[str, str], room: int) -> list[str]:
    """The columns of a row that fit into so many characters, in its order: the first metrics go before the rest."""
    metrics = [name for name in row if name not in WIDTHS]
    wanted = ["round", *metrics[:3], *SHOWN_FIRST[1:], *metrics[3:]]
    taken: list[str] = []
    for name in wanted:
        if sum(map(_width, [*taken, name])) <= room:
            taken.append(name)
    return [name for name in row if name in taken]


def line(row: dict[str, str], columns: list[str]) -> str:
    """A line of the table; a column that this row lacks has a dash."""
    return "".join(row.get(name, "-").rjust(_width(name)) for name in columns)


def _width(name: str) -> int:
    return WIDTHS.get(name, max(METRIC_WIDTH, len(name) + 2))
