"""Watchers of a run: what they are told before it, within a round and after it, and how long the rest will take."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from aggregator.history import RoundRecord, Tracker
from fedlearn.secure.price import Price
from fedlearn.wording import many

log = logging.getLogger(__name__)
OFTEN = 0.05  # seconds between two reports from within a phase


@dataclass(frozen=True)
class Outlook:
    """The run that is about to begin. cohort: clients a round, of `population`; does: what these do, in words.

    price: what hiding takes, beside training. done: rounds of an earlier session that this one goes on with.
    """

    rounds: int
    cohort: int
    population: int
    does: str
    strategy: str
    protection: str
    hiding: str
    price: Price
    done: int = 0

    @property
    def a_round(self) -> float:
        """Seconds of hiding and opening in a round whose clients run one after another; 0 where nothing is known."""
        return self.cohort * self.price.client + self.price.opening

    def __str__(self) -> str:
        who = many(self.population, "client")
        some = "" if self.cohort == self.population else f", {self.cohort:,} a round,"
        before = f", {self.done:,} of them done" if self.done else ""
        said = f"{who}{some} {self.does} in {many(self.rounds, 'round')}{before} ({self.strategy}, {self.protection})"
        left = self.rounds - self.done
        if not left:
            return said
        if not self.a_round:
            return f"{said}; the first round will tell how long that takes"
        each, opening = span(self.a_round), span(self.price.opening)
        whole = f"{span(left * self.a_round)} {'for the rest' if self.done else 'in all'}"
        return (
            f"{said}; {self.hiding} and opening sums take about {each} a round, {opening} of it the opening, so "
            f"{whole}, and {self.does.split()[0]}ing comes on top"
        )


@dataclass(frozen=True)
class Phase:
    """The progress of a round. done: clients that answered, of so many that were asked; 0 of 0 where it is unknown."""

    round: int
    name: str
    done: int = 0
    of: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.done:,} of {self.of:,}" if self.of else self.name


@runtime_checkable
class Follower(Protocol):
    """A tracker that is told more: before the run, and within a round. A tracker may have these methods or not."""

    def outlook(self, outlook: Outlook) -> None: ...

    def phase(self, phase: Phase) -> None: ...


class Watched:
    """All trackers of a run; one that raises is told of in the log, and left out from then on."""

    def __init__(self, trackers: Sequence[Tracker]):
        self._trackers: list[Any] = list(trackers)
        self._followers: list[Any] = [tracker for tracker in trackers if isinstance(tracker, Follower)]
        self._said = 0.0

    def outlook(self, make: Callable[[], Outlook]) -> None:
        """Before anything is started; the outlook is made where somebody asks for it, since it takes time."""
        if self._followers:
            outlook = make()
            self._tell(lambda tracker: tracker.outlook(outlook), self._followers)

    def begin(self, rounds: int, first: int) -> None:
        self._tell(lambda tracker: tracker.begin(rounds, first), self._trackers)

    def phase(self, round: int, name: str, done: int = 0, of: int = 0) -> None:
        """Within a round; not each of many answers is told."""
        now = time.monotonic()
        if self._followers and (not 0 < done < of or now - self._said >= OFTEN):
            self._said = now
            self._tell(lambda tracker: tracker.phase(Phase(round, name, done, of)), self._followers)

    def round(self, record: RoundRecord) -> None:
        self._tell(lambda tracker: tracker.round(record), self._trackers)

    def end(self) -> None:
        self._tell(lambda tracker: tracker.end(), self._trackers)

    def _tell(self, what: Callable[[Any], None], whom: list[Any]) -> None:
        for tracker in tuple(whom):
            try:
                what(tracker)
            except Exception as error:
                self._trackers = [each for each in self._trackers if each is not tracker]
                self._followers = [each for each in self._followers if each is not tracker]
                name = type(tracker).__name__
                log.warning("%s failed and is left out from here on: %s: %s", name, type(error).__name__, error)


class Pace:
    """How long the rest of a run takes: as the rounds so far did; in the first of them, as its clients so far did."""

    def __init__(self, rounds: int, first: int, outlook: Outlook | None = None):
        self._rounds, self._first, self._done = rounds, first, first - 1
        self._outlook = outlook
        self._began = self._last = time.monotonic()
        self._phase: Phase | None = None

    def phase(self, phase: Phase) -> None:
        self._phase = phase

    def round(self, record: RoundRecord) -> None:
        self._done, self._last, self._phase = record.round, time.monotonic(), None

    def left(self) -> float | None:
        """Seconds until the last round is over, None where that is so, or nobody knows yet."""
        if self._done >= self._rounds:
            return None
        spent = time.monotonic() - self._last
        a_round = self._a_round(spent)
        if a_round is None:
            return None
        return max(0.0, a_round - spent) + a_round * (self._rounds - self._done - 1)

    def _a_round(self, spent: float) -> float | None:
        if self._done >= self._first:
            return (self._last - self._began) / (self._done - self._first + 1)
        opening = self._outlook.price.opening if self._outlook else 0.0
        phase = self._phase
        if phase is not None and phase.done:
            return max(spent * phase.of / phase.done, spent) + opening
        return self._outlook.a_round or None if self._outlook else None


def span(seconds: float) -> str:
    """A time for people, in two figures or so: 0.02 s, 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if 0 < seconds < 0.1:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def somebody_watches() -> bool:
    """True if standard error is a terminal or a notebook's."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    terminal = sys.stderr is not None and sys.stderr.isatty()  # some services have no standard error
    return terminal or getattr(shell, "kernel", None) is not None
