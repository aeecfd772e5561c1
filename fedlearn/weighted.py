"""Clients that are drawn in proportion to their weights; and the lines of a file that says such things of clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fedlearn.checked import takes_plain
from fedlearn.disk import at_home
from fedlearn.errors import BadInput
from fedlearn.protocol.parties import client_name
from fedlearn.sampling import Sampler, check_draw
from fedlearn.seeding import stream
from fedlearn.wording import many

Counts = Callable[[], Sequence[float]]


def _numbers(weights: Any) -> np.ndarray:
    """(n,), n at least 1; raises `BadInput` for anything else."""
    try:
        found = np.asarray(weights, np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.zeros(())
    if found.ndim != 1 or not found.size:
        raise BadInput(f"the weights are {weights!r:.80}: give a list of numbers, one for each client")
    return found


class Weighted(Sampler):
    """`size` clients without replacement, drawn one after the other in proportion to their weights.

    By Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir": those whose exponential numbers
    divided by weights are smallest. Where the strategy's mean weighs clients by examples it does so here too, and
    clients with many then count twice over.
    """

    def __init__(self, weights: Sequence[float], public: bool = False):
        """Draw by these weights, of each client, 0 for one that is never drawn.

        public: all parties may know them, so that the plan says them and each party draws cohorts by itself; not where
        they are clients' numbers of examples. Raises `BadInput` for a weight below 0 or not finite.
        """
        self._weights = _numbers(weights)
        self.public = public
        bad = np.flatnonzero(~(np.isfinite(self._weights) & (self._weights >= 0)))
        if bad.size:
            raise BadInput(
                f"{client_name(bad[0])} has weight {self._weights[bad[0]]:g}: it must be finite, and 0 or more"
            )

    @classmethod
    @takes_plain
    def from_spec(cls, argument: str | None, examples: Counts) -> Weighted:
        """By what --sampler says.

        argument: a public file with one weight a line, client by client; by default the numbers of examples.
        """
        if argument is None:
            return cls(examples())
        weights = []
        for number, line in lines_of(argument):
            try:
                weights.append(float(line))
            except ValueError:
                raise BadInput(f"{argument}, line {number}: {line!r} is no weight, give one number a line") from None
        return cls(weights, public=True)

    def arguments(self) -> dict[str, Any]:
        return {"weights": self._weights.tolist(), "public": self.public}

    def check(self, population: int, size: int) -> None:
        check_draw(population, size)
        if len(self._weights) != population:
            raise BadInput(f"{many(len(self._weights), 'weight')} for {many(population, 'client')}: give one for each")
        drawable = np.count_nonzero(self._weights)
        if size > drawable:
            raise BadInput(f"a cohort of {size} needs as many clients with a weight above 0, there are {drawable}")

    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        self.check(population, size)
        with np.errstate(divide="ignore"):
            arrivals = stream(seed, "cohort", round).standard_exponential(population) / self._weights
        chosen: list[int] = np.sort(np.argpartition(arrivals, size - 1)[:size]).tolist()
        return chosen


def lines_of(path: str) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers; raises `BadInput` where it cannot be read."""
    try:
        text = at_home(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}; give a text file") from None
    return ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip())
