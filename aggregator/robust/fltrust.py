"""FLTrust: vectors count as much as they point where the aggregator's own update points.

Cao, Fang, Liu and Gong 2021, "FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from aggregator.robust.base import Beside, Combined, Rule
from aggregator.robust.points import Points
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput


@dataclass(frozen=True)
class FLTrust(Rule):
    """Each vector is scaled to the trusted one's length and weighs its cosine with that, 0 where it points away.

    It stands any number of malicious vectors, as far as the trusted update is like the honest ones. scores are one
    minus the cosines. data: examples that the aggregator trusts, as a client holds them; in a run it trains on them.
    """

    data: Examples | None = None  # type: ignore[misc]

    trusts: ClassVar[bool] = True

    def trusting(self, data: Examples) -> Self:
        return self if self.data is not None else replace(self, data=data)

    def most(self, n: int) -> int:
        return n - 1

    def combine(self, points: Points, beside: Beside) -> Combined:
        if beside.trusted is None:
            raise BadInput("fltrust compares with an update of the aggregator's own, and there is none: give it data")
        length = float(np.linalg.norm(beside.trusted))
        norms = np.where(points.norms > 0, points.norms, 1)
        cosines = _products(points, beside.trusted) / (norms * (length or 1))
        trust = np.maximum(cosines, 0)
        weights = trust / (trust.sum() or 1) * length / norms
        return Combined(points.weighted(weights), np.flatnonzero(trust), 1 - cosines)


def _products(points: Points, vector: np.ndarray) -> np.ndarray:
    """Inner products of all with one, float64 (n,)."""
    return sum(
        (values.astype(np.float64) @ vector[columns] for columns, values in points.blocks()), np.zeros(len(points))
    )
