"""Quantiles of a column: a histogram a round, each within the bin of the one before that holds the quantile.

Only counts are opened, so that a quantile costs as many bins as it takes, and not every value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from fedlearn.configured import make_whole, real_number
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.queries.base import Counts, Totals
from fedlearn.queries.column import ColumnQuery, check_step
from fedlearn.queries.histogram import MOST_BINS
from fedlearn.wording import many

MOST_PLACES = 2**24 - 2  # float32 holds these whole numbers exactly


@dataclass(frozen=True)
class Quantiles(ColumnQuery):
    """Quantiles of a column, narrowed down over rounds.

    at: which, each above 0 and up to 1: the least value that so many of all values do not exceed. Values are rounded
    down to multiples of step, counted from low. What lies below low, and from high on, stands in a place of its own at
    either end: nothing is left out. bins: of each round, and so how many rounds it takes. column, most: as in
    `ColumnQuery`.
    """

    at: tuple[float, ...] = (0.25, 0.5, 0.75)
    step: float = 1.0
    bins: int = 64
    high: float = field(default=65536.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        make_whole(self, "bins", least=2, most=MOST_BINS)
        check_step(self)
        if not isinstance(self.at, list | tuple) or not self.at:
            raise BadInput(f"quantiles at is {self.at!r:.80}: give numbers above 0 and up to 1, as (0.5,)")
        each = tuple(real_number("quantiles at", q, above=0, usual="0.5 is the median") for q in self.at)
        if max(each) > 1:
            raise BadInput(f"quantiles at is {max(each):g}, it must be above 0 and up to 1: 0.5 is the median")
        object.__setattr__(self, "at", each)
        if self._top > MOST_PLACES:
            raise BadInput(
                f"quantiles has {many(self._top, 'step')} from low to high, {MOST_PLACES:,} at most can be told apart: "
                "raise step"
            )

    @property
    def _top(self) -> int:
        """The place of what lies from high on. Below low is place -1."""
        return math.ceil((self.high - self.low) / self.step)

    @property
    def rounds(self) -> int:  # type: ignore[override]
        width, rounds = self._top + 2, 0
        while width > 1:
            width, rounds = -(-width // self.bins), rounds + 1
        return rounds

    def entries(self) -> Mapping[str, Counts]:
        """For each quantile: below its bracket, in each bin of it, and above."""
        return {"examples": Counts(len(self.at) * (self.bins + 2), self.most)}

    def first(self) -> np.ndarray:
        """Each quantile's bracket, (quantiles, 2): the first place in it, and the first behind it."""
        return np.tile(np.array([-1, self._top + 1], np.float32), len(self.at))

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        values = (self.values(data) - self.low) / self.step
        places = np.clip(np.floor(values), -1, self._top).astype(np.int64)
        rows = []
        for begin, end in _brackets(asked):
            where = (places - begin) // _width(begin, end, self.bins)
            bins = np.where(places < begin, 0, np.where(places >= end, self.bins + 1, where + 1))
            rows.append(np.bincount(bins, minlength=self.bins + 2))
        return {"examples": np.concatenate(rows)}

    def refine(self, asked: np.ndarray, totals: Totals) -> np.ndarray:
        rows = totals["examples"].reshape(len(self.at), -1)
        found = []
        for (begin, end), row, q in zip(_brackets(asked), rows, self.at, strict=True):
            wanted = max(1, math.ceil(Fraction(repr(q)) * Fraction(float(row.sum()))))
            reached = np.cumsum(row)[:-1] >= wanted  # how many lie below the end of each bin
            bin = max(1, int(reached.argmax())) if reached.any() else self.bins
            width = _width(begin, end, self.bins)
            first = min(begin + (bin - 1) * width, end - 1)
            found += [first, min(first + width, end)]
        return np.array(found, np.float32)

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        """The values by quantile, of so many examples; None for one that lies below low, or not below high."""
        counts = totals["examples"].reshape(len(self.at), -1).sum(axis=1)  # each quantile has counted all of them
        count = max(0, int(counts[0]) if counts.dtype.kind == "i" else float(counts.mean()))
        if not count:
            return {"examples": 0, "quantiles": dict.fromkeys(map(str, self.at))}
        places = [begin for begin, _ in _brackets(asked)]
        values = [self.low + place * self.step if 0 <= place < self._top else None for place in places]
        return {"examples": count, "quantiles": dict(zip(map(str, self.at), values, strict=True))}

    def note(self, values: Mapping[str, Any]) -> str:
        """Where quantiles lie that are not known, or that there are no examples, in words."""
        if not values["examples"] or None not in values["quantiles"].values():
            return super().note(values)
        return f"what is not known lies below low={self.low:g}, or from high={self.high:g} on: ask with other ones"


def _brackets(asked: np.ndarray) -> list[tuple[int, int]]:
    return [(int(begin), int(end)) for begin, end in asked.reshape(-1, 2)]


def _width(begin: int, end: int, bins: int) -> int:
    return max(1, -(-(end - begin) // bins))
