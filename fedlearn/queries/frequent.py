"""Which words most messages hold: counted in hashed buckets, then named from a public list.

Nobody sends a word. A bucket is named by the words of the list that hash there: words that are not in it have no name,
and where several share a bucket, all of them are said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from fedlearn.configured import make_whole
from fedlearn.datasets.examples import Examples
from fedlearn.datasets.vocabulary import MAX_SIZE, bucket
from fedlearn.disk import at_home
from fedlearn.errors import BadInput
from fedlearn.models.kinds import Kind, Words
from fedlearn.queries.base import MOST, Counts, Query, Totals, check_most
from fedlearn.queries.words import messages_of


def read_words(file: str) -> tuple[str, ...]:
    """The words of a public list in UTF-8, with blanks or lines between them; raises `BadInput` for no such file."""
    try:
        return tuple(at_home(file).read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"cannot read the word list {file} ({reason}): give a UTF-8 file") from None


@dataclass(frozen=True)
class FrequentWords(Query):
    """The words that most messages hold.

    top: how many are wanted. names: the public list; on the command line its file, names=FILE. vocabulary: buckets, as
    the plan's hashed vocabulary has them. A word counts once a message.
    """

    top: int = 20
    names: Annotated[tuple[str, ...], read_words] = ()
    vocabulary: int = 2**14
    most: int = MOST

    name = "frequent"
    reads: ClassVar[tuple[type[Kind], ...]] = (Words,)

    def __post_init__(self) -> None:
        make_whole(self, "top", least=1, most=MAX_SIZE)
        make_whole(self, "vocabulary", least=1, most=MAX_SIZE)
        check_most(self)
        several = isinstance(self.names, tuple) or (isinstance(self.names, list) and self.names)
        if not (several and all(isinstance(name, str) for name in self.names)):
            raise BadInput(f"frequent names are {self.names!r:.60}: give a list of words")
        object.__setattr__(self, "names", tuple(self.names))

    def entries(self) -> Mapping[str, Counts]:
        return {"counts": Counts(self.vocabulary, self.most)}

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        words = messages_of(data, self.vocabulary).indices
        return {"counts": np.bincount(words, minlength=self.vocabulary)}

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        """One value, frequent: from the most frequent bucket on, messages that hold it, and words of the list."""
        counts = totals["counts"]
        order = np.argsort(-counts, kind="stable")[: self.top]
        named = defaultdict(list)
        for word in self.names:
            named[bucket(word, self.vocabulary)].append(word)
        found = [
            {"bucket": int(i), "messages": counts[i].item(), "words": named[int(i)]} for i in order if counts[i] > 0
        ]
        return {"frequent": found}
