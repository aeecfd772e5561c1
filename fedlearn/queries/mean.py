"""Mean and variance of a column, from the exact sums of its values and of their squares, in whole steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.queries.base import Counts, Totals
from fedlearn.queries.column import ColumnQuery, check_step
from fedlearn.wording import many


@dataclass(frozen=True)
class Mean(ColumnQuery):
    """The mean and the variance of a column.

    step: values are rounded to multiples of it, counted from low. The others: as in `ColumnQuery`. A client that has a
    value below low or above high refuses.
    """

    step: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_step(self)
        if self.most * self._steps**2 >= 2**62:
            raise BadInput(
                f"mean has squares of {many(self.most, 'value')} in {many(self._steps, 'step')} each, which no lane "
                "holds: raise step, or lower most"
            )

    @property
    def _steps(self) -> int:
        return round((self.high - self.low) / self.step)

    def entries(self) -> Mapping[str, Counts]:
        sizes = {"examples": self.most, "values": self.most * self._steps, "squares": self.most * self._steps**2}
        return {name: Counts(1, max(1, size)) for name, size in sizes.items()}

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        values = self.values(data)
        if values.size and not (self.low <= values.min() and values.max() <= self.high):
            raise BadInput(
                f"a value lies outside of {self.low:g} to {self.high:g}: ask with other low and high, "
                "or for a histogram first"
            )
        steps = np.rint((values - self.low) / self.step).astype(np.int64)
        sums = {"examples": len(steps), "values": steps.sum(), "squares": (steps**2).sum()}
        return {name: np.array([number], np.int64) for name, number in sums.items()}

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        """mean and variance, the latter divided by the number of examples; None where there are none."""
        count, values, squares = (int(totals[name][0]) for name in ("examples", "values", "squares"))
        if not count:
            return {"examples": 0, "mean": None, "variance": None}
        mean, step = Fraction(values, count), Fraction(self.step)
        variance = (Fraction(squares, count) - mean**2) * step**2
        return {"examples": count, "mean": float(Fraction(self.low) + mean * step), "variance": float(variance)}
