"""How the values of a column are spread, in bins of equal width; what lies outside of them is counted too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlearn.configured import make_whole
from fedlearn.datasets.examples import Examples
from fedlearn.queries.base import Counts, Totals
from fedlearn.queries.column import ColumnQuery

MOST_BINS = 2**20


@dataclass(frozen=True)
class Histogram(ColumnQuery):
    """How the values of a column are spread.

    bins: of equal width, from low to high; high itself lies outside. The others: as in `ColumnQuery`.
    """

    bins: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        make_whole(self, "bins", least=1, most=MOST_BINS)

    def entries(self) -> Mapping[str, Counts]:
        """Below low, each bin, and from high on."""
        return {"examples": Counts(self.bins + 2, self.most)}

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        where = np.searchsorted(self._edges(), self.values(data), side="right")
        return {"examples": np.bincount(where, minlength=self.bins + 2)}

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        below, *inside, above = totals["examples"].tolist()
        return {"edges": self._edges().tolist(), "examples": inside, "below": below, "above": above}

    def _edges(self) -> np.ndarray:
        return np.linspace(self.low, self.high, self.bins + 1)
