"""The seam of every question that a sum answers: what each client counts, and what the opened sum means.

A query stands in the run plan in the place of a strategy. Clients count on their own data, and their integers go the
way of updates: the same lanes, protection, openers and rules. Nobody reads a single client's; the sum is exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlearn.checked import REAL
from fedlearn.configured import Named, arguments_of, whole_number
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.models.kinds import Features, Kind

Totals = Mapping[str, np.ndarray]
MOST = 4095  # examples of one client, where nobody says so
LARGEST_MOST = 2**40
NO_EXAMPLES = "the clients in the sum have no examples, so there is nothing to know of them"


@dataclass(frozen=True)
class Counts:
    """A run of whole numbers that each client sends: how many, and the most that one of them may be; the least is 0."""

    length: int
    most: int


class Query(Named, ABC):
    """One question. A new one defines `entries`, `count` and `answer`; a dataclass's fields are its arguments.

    All that is said here is public: it stands in the plan.

    name    how messages and records call it; by default the class's name in lower case
    most    examples that one client may have; more are refused, by that client itself
    rounds  sums that are opened one after another. What is asked next, `refine` says
    reads   the kinds of samples that it can be asked of (`fedlearn.models.kinds`)
    additive  whether two halves of a client's examples count for what both count for together
    """

    most: int = MOST
    rounds: int = 1
    reads: ClassVar[tuple[type[Kind], ...]] = (Features,)
    additive: ClassVar[bool] = True

    def arguments(self) -> dict[str, Any]:
        """The arguments that construct it again, by parameter: numbers, text, or lists and dicts of them."""
        return arguments_of(self)

    @abstractmethod
    def entries(self) -> Mapping[str, Counts]:
        """The entries that each client sends, by name. With differential privacy there may be one name only."""

    def first(self) -> np.ndarray:
        """The request of the first round, float32 (n,), beside the plan: by default empty."""
        return np.zeros(0, np.float32)

    @property
    def asks(self) -> int:
        """How many values a request has, so that clients know one of this query."""
        return self.first().size

    @abstractmethod
    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        """Count on one client's examples: integers by name. asked: the request, float32 (n,).

        Raises `BadInput` for examples that the question cannot be asked of.
        """

    def refine(self, asked: np.ndarray, totals: Totals) -> np.ndarray:
        """The next round's request, float32 (n,), from this round's and the sums that were opened."""
        return asked

    @abstractmethod
    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        """Make the answer of the sums of all clients, in plain values by name.

        asked: what `refine` made of the last request. totals: of the last round, int64; float64 with noise in them.
        """

    def note(self, values: Mapping[str, Any]) -> str:
        """A remark beside an answer, such as what to ask next; by default that its `examples` are 0, or none, ""."""
        return NO_EXAMPLES if values.get("examples") == 0 else ""


def check_most(query: Query) -> None:
    """Put `most` in its place as an int, in a frozen dataclass too; raises `BadInput` for what is no bound."""
    object.__setattr__(query, "most", whole_number(f"{query.name} most", query.most, 1, LARGEST_MOST))


def labels_of(data: Examples, classes: int) -> np.ndarray:
    """The classes of a client's examples, int64 (n,); raises `BadInput` for data that have no labels 0, 1, ..."""
    labels = np.asarray(data.targets)
    whole = labels.ndim == 1 and labels.dtype.kind in REAL and np.array_equal(labels, np.floor(labels))
    if not whole or (labels.size and not (labels.min() >= 0 and labels.max() < classes)):
        raise BadInput(
            f"its examples have no labels from 0 to {classes - 1}, an example each: give labelled data, "
            "or ask with as many classes as there are"
        )
    return labels.astype(np.int64)
