"""The base of questions about one column of clients' rows of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlearn.checked import REAL
from fedlearn.configured import make_real, make_whole
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.queries.base import MOST, Query, check_most
from fedlearn.wording import many

MOST_COLUMNS = 2**24
MOST_STEPS = 2**53  # between low and high: float64 tells no more apart


@dataclass(frozen=True, kw_only=True)
class ColumnQuery(Query):
    """A question about one column of clients' rows.

    low, high: the range that is asked about. column: of the examples' rows, from 0. most: as in `Query`. Raises
    `BadInput` unless low < high.
    """

    low: float = 0.0
    high: float = 1.0
    column: int = 0
    most: int = MOST

    def __post_init__(self) -> None:
        make_whole(self, "column", least=0, most=MOST_COLUMNS)
        for name in ("low", "high"):
            make_real(self, name, usual="give a number")
        if not self.low < self.high:
            raise BadInput(f"{self.name} low is {self.low:g} and high {self.high:g}: low must be below high")
        if math.isinf(self.high - self.low):
            raise BadInput(f"{self.name} low is {self.low:g} and high {self.high:g}: too far apart for a float")
        check_most(self)

    def values(self, data: Examples) -> np.ndarray:
        """The column in a client's rows, float64 (n,); raises `BadInput` for rows that do not have it."""
        rows = np.asarray(data.inputs[0])
        if len(data.inputs) != 1 or rows.dtype.kind not in REAL or len(rows) != len(data):
            raise BadInput("its examples are no rows of numbers: ask of data that are")
        rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))
        if self.column >= rows.shape[1]:
            raise BadInput(
                f"its rows have {many(rows.shape[1], 'number')}, the question is of column {self.column}: they count "
                "from 0"
            )
        values = rows[:, self.column].astype(np.float64)
        if not np.isfinite(values).all():
            raise BadInput(f"column {self.column} holds values that are not finite: take such rows out")
        return values


def check_step(query: Any) -> None:
    """Put the `step` that a question rounds to in its place as a float; raises `BadInput` for one that is too small."""
    make_real(query, "step", above=0, usual="1, or the size of a difference that matters")
    if (query.high - query.low) / query.step > MOST_STEPS:
        raise BadInput(
            f"{query.name} step is {query.step:g}, more than {MOST_STEPS:,} of them lie between low and high: raise it"
        )
