"""The words of counts that were opened: a word is named where its count is not 0, and a count of 1 is one person's.

Nothing needs to be computed. Where the sum has noise in it, what is nearest to a count of 1 or more is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.errors import BadInput
from fedlearn.privacy.terms import Terms
from fedlearn.queries.words import WordCounts
from fedlearn.registry import importing_nothing
from fedlearn.travel import rebuilt


@dataclass(frozen=True, eq=False)
class WordsCounted(Finding):
    """The words that stand in messages, by their counts: whole numbers, or estimates where there is noise."""

    words: dict[str, float]

    def summary(self) -> str:
        return " ".join(f"{word} {count:g}" for word, count in self.words.items()) or "(nothing)"


@dataclass(frozen=True)
class CountedWords(EachVector[WordsCounted]):
    """The words of each plain answer to a query of words, and of each opened sum."""

    name: ClassVar[str] = "counted_words"

    def read(self, observed: Observed, vector: Vector) -> WordsCounted:
        try:
            with importing_nothing():
                query = rebuilt(observed.plan.strategy, WordCounts)
        except BadInput:
            raise NotReadable(
                f"the run is of {observed.plan.strategy['name']}, which counts no words: this attack reads such counts"
            ) from None
        terms = Terms.read(observed.plan.privacy)
        values = vector.values if terms is None else terms.decode(vector.values) * terms.expected
        counts = query.words({"counts": values}).sum(axis=0)
        named = np.flatnonzero(counts > 0.5)
        words = {observed.words[row]: float(counts[row]) for row in named}
        return WordsCounted(self.name, vector.about, vector.round, words)
