"""How the values of a column are spread, in bins of equal width; what lies outside of them is counted too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlearn.configured import make_real, make_whole
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.queries.base import MOST, Counts, Query, Totals, check_most, column_of

MOST_BINS, MOST_COLUMNS = 2**20, 2**24


@dataclass(frozen=True)
class Histogram(Query):
    """low, high: where the bins begin and end, [low, high). column: of the examples' rows, from 0."""

    low: float = 0.0
    high: float = 1.0
    bins: int = 20
    column: int = 0
    most: int = MOST

    name = "histogram"

    def __post_init__(self) -> None:
        make_whole(self, "bins", least=1, most=MOST_BINS)
        make_whole(self, "column", least=0, most=MOST_COLUMNS)
        check_range(self)
        check_most(self)

    def entries(self) -> Mapping[str, Counts]:
        """Below low, each bin, and from high on."""
        return {"examples": Counts(self.bins + 2, self.most)}

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        where = np.searchsorted(self._edges(), column_of(data, self.column), side="right")
        return {"examples": np.bincount(where, minlength=self.bins + 2)}

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        below, *inside, above = totals["examples"].tolist()
        return {"edges": self._edges().tolist(), "examples": inside, "below": below, "above": above}

    def _edges(self) -> np.ndarray:
        return np.linspace(self.low, self.high, self.bins + 1)


def check_range(query: Any) -> None:
    """Put `low` and `high` in their places as floats; raises `BadInput` unless low < high."""
    for name in ("low", "high"):
        make_real(query, name, usual="give a number")
    if not query.low < query.high:
        raise BadInput(f"{query.name} low is {query.low:g} and high {query.high:g}: low must be below high")
