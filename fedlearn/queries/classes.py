"""How many examples of each class there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlearn.configured import make_whole
from fedlearn.datasets.examples import Examples
from fedlearn.models.kinds import Features, Kind, Words
from fedlearn.queries.base import MOST, Counts, Query, Totals, check_most, labels_of

MOST_CLASSES = 2**20


@dataclass(frozen=True)
class ClassCounts(Query):
    """How many examples of each class there are.

    classes: how many there are, named 0 to classes - 1 by the examples' labels. most: as in `Query`.
    """

    classes: int = 2
    most: int = MOST

    name = "classes"
    reads: ClassVar[tuple[type[Kind], ...]] = (Features, Words)

    def __post_init__(self) -> None:
        make_whole(self, "classes", least=2, most=MOST_CLASSES)
        check_most(self)

    def entries(self) -> Mapping[str, Counts]:
        return {"examples": Counts(self.classes, self.most)}

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        return {"examples": np.bincount(labels_of(data, self.classes), minlength=self.classes)}

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        return {"examples": totals["examples"].tolist()}
