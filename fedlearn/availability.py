"""Clients that are not always there: cohorts drawn from those available, by a trace or round the clock."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

import numpy as np

from fedlearn.checked import takes_plain, whole_array
from fedlearn.configured import whole_number
from fedlearn.errors import BadInput
from fedlearn.protocol.parties import client_name
from fedlearn.sampling import Sampler, check_draw
from fedlearn.seeding import stream
from fedlearn.spec import keys_of, read_settings
from fedlearn.untrusted import from_json
from fedlearn.weighted import Counts, lines_of

MOST_ROUNDS = 10**9  # of a day
FIELDS = ("client", "from", "to")


class Availability(Sampler):
    """`size` clients without replacement of those available in a round, all equally likely; all, if fewer are.

    public: so is who is available, and the plan says it.
    """

    public = True

    @classmethod
    @takes_plain
    def from_spec(cls, argument: str | None, examples: Counts) -> Availability:
        """By what --sampler says. argument: the file of a `Trace`, or diurnal=ROUNDS for `Diurnal`."""
        if not argument:
            raise BadInput("sampler availability needs a trace or a pattern: availability:FILE or :diurnal=24")
        if argument.partition("=")[0].strip() != "diurnal":
            return Trace.read(argument)
        return Diurnal(**read_settings(argument, keys_of(Diurnal), "sampler availability", positional=False))

    @abstractmethod
    def available(self, seed: int, round: int, population: int) -> np.ndarray:
        """The clients that a round can draw from, int64 in rising order."""

    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        check_draw(population, size)
        awake = self.available(seed, round, population)
        if len(awake) > size:
            awake = np.sort(stream(seed, "cohort", round).choice(awake, size, replace=False))
        return cast("list[int]", awake.tolist())


class Diurnal(Availability):
    """Every client is available for half of each day, from an hour of its own drawn by the seed.

    diurnal: rounds of a day.
    """

    def __init__(self, diurnal: int):
        self._period = whole_number("availability diurnal", diurnal)
        if not 2 <= diurnal <= MOST_ROUNDS:
            raise BadInput(f"availability has diurnal={diurnal!s:.20}, a day needs at least 2 rounds: raise it")

    def arguments(self) -> dict[str, Any]:
        return {"diurnal": self._period}

    def available(self, seed: int, round: int, population: int) -> np.ndarray:
        check_draw(population, 1)
        round = whole_number("round", round, 0, MOST_ROUNDS)
        hours = stream(seed, "cohort").random(population) * self._period  # of round 0, which is never trained
        return np.flatnonzero((round + hours) % self._period < self._period / 2)


class Trace(Availability):
    """The rounds in which each client is available, by intervals; a client without any never is.

    intervals: int64 (n, 3), each a client's number and the first and last round of an interval, counted from 1.
    """

    def __init__(self, intervals: np.ndarray):
        table = whole_array("intervals", intervals)
        if table.ndim != 2 or table.shape[1:] != (3,):
            raise BadInput(f"intervals have shape {table.shape}: give a client, its first and its last round a row")
        self._clients, self._first, self._last = table.T

    def arguments(self) -> dict[str, Any]:
        return {"intervals": np.stack([self._clients, self._first, self._last], axis=1).tolist()}

    @classmethod
    @takes_plain
    def read(cls, path: str) -> Trace:
        """From CSV with the header client,from,to, or JSON lines {"client": 3, "from": 1, "to": 24}.

        Raises `BadInput` for a line that is neither.
        """
        rows = []
        for number, line in lines_of(path):
            if line.replace(" ", "") == ",".join(FIELDS):
                continue
            try:
                given = from_json(line) if line.startswith("{") else dict(zip(FIELDS, line.split(","), strict=True))
                rows.append(np.array([int(str(given[name])) for name in FIELDS], np.int64))  # int(1.5) would be 1
            except (ValueError, KeyError, TypeError, OverflowError):
                form = "give client,from,to, or JSON with these three; whole numbers under 2^63"
                raise BadInput(f"{path}, line {number}: {line!r} is no interval: {form}") from None
        return cls(np.array(rows, np.int64).reshape(-1, 3))

    def check(self, population: int, size: int) -> None:
        check_draw(population, size)
        unknown = self._clients[(self._clients < 0) | (self._clients >= population)]
        if unknown.size:
            raise BadInput(f"the trace names a client number {unknown[0]}, there are {population}: numbers go from 0")
        backwards = np.flatnonzero((self._first < 1) | (self._last < self._first))
        if backwards.size:
            row = backwards[0]
            raise BadInput(
                f"the trace has {client_name(self._clients[row])} from round {self._first[row]} to {self._last[row]}: "
                "rounds count from 1, and the first comes first"
            )

    def available(self, seed: int, round: int, population: int) -> np.ndarray:
        round = whole_number("round", round, 0)
        return np.unique(self._clients[(self._first <= round) & (round <= self._last)])
