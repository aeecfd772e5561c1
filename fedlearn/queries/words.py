"""In how many messages of each class each word stands: all that a Naive Bayes filter needs, in one sum.

Messages are sets of words here (`fedlearn.datasets.bags.Bags`): a word that stands twice in a message counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlearn.configured import make_whole
from fedlearn.datasets.bags import Bags
from fedlearn.datasets.examples import Examples
from fedlearn.datasets.vocabulary import MAX_SIZE
from fedlearn.errors import BadInput
from fedlearn.models.kinds import Kind, Words
from fedlearn.queries.base import MOST, Counts, Query, Totals, check_most, labels_of
from fedlearn.queries.classes import MOST_CLASSES
from fedlearn.wording import many


def messages_of(data: Examples, vocabulary: int) -> Bags:
    """A client's examples as messages of so many words; raises `BadInput` for others."""
    if not isinstance(data, Bags) or {data.indices.dtype.kind, data.offsets.dtype.kind} - set("iu"):
        raise BadInput("its examples are no messages as sets of words: ask of messages")
    if data.indices.size and not (data.indices.min() >= 0 and data.indices.max() < vocabulary):
        raise BadInput(
            f"its messages name word {data.indices.max()}, the question has {many(vocabulary, 'word')}: "
            "number words by the same vocabulary"
        )
    return data


@dataclass(frozen=True)
class WordCounts(Query):
    """In how many messages of each class each word stands.

    vocabulary: rows of words, numbered as the plan's vocabulary says. classes: of messages, 0 ham and 1 spam. For each
    class a client sends how many messages it has, then for each row in how many of them that word stands. All of it is
    one vector, so that differential privacy can bound it.
    """

    vocabulary: int = 2**14
    classes: int = 2
    most: int = MOST

    name = "words"
    reads: ClassVar[tuple[type[Kind], ...]] = (Words,)

    def __post_init__(self) -> None:
        make_whole(self, "vocabulary", least=1, most=MAX_SIZE)
        make_whole(self, "classes", least=2, most=MOST_CLASSES)
        check_most(self)

    def entries(self) -> Mapping[str, Counts]:
        return {"counts": Counts(self.classes * (1 + self.vocabulary), self.most)}

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        bags = messages_of(data, self.vocabulary)
        labels = labels_of(bags, self.classes)
        rows = np.zeros((self.classes, 1 + self.vocabulary), np.int64)
        rows[:, 0] = np.bincount(labels, minlength=self.classes)
        of_word = np.repeat(labels, np.diff(bags.offsets))
        for number in range(self.classes):
            rows[number, 1:] = np.bincount(bags.indices[of_word == number], minlength=self.vocabulary)
        return {"counts": rows.ravel()}

    def messages(self, totals: Totals) -> np.ndarray:
        """How many messages of each class there are, (classes,)."""
        return self._rows(totals)[:, 0]

    def words(self, totals: Totals) -> np.ndarray:
        """In how many messages of each class each word stands, (classes, vocabulary)."""
        return self._rows(totals)[:, 1:]

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        """Messages and words in all by class, and how many rows of words occur; the counts are in the totals."""
        words = self.words(totals)
        return {
            "messages": self.messages(totals).tolist(),
            "words": words.sum(axis=1).tolist(),
            "rows": int(np.count_nonzero(words.sum(axis=0) > 0)),
        }

    def _rows(self, totals: Totals) -> np.ndarray:
        return totals["counts"].reshape(self.classes, 1 + self.vocabulary)
