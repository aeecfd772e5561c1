"""Messages as words in order, for models that read a text from its beginning to its end."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fedlearn.checked import takes_plain
from fedlearn.configured import whole_number
from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.examples import Arrays
from fedlearn.datasets.tokens import tokenize
from fedlearn.datasets.vocabulary import Vocabulary

LONGEST = 40  # words of a message that are read
MOST = 100_000


@takes_plain
def encode_in_order(corpus: Corpus, vocabulary: Vocabulary, longest: int = LONGEST) -> Arrays:
    """The last words of each message, int64 (n, longest), and its class, int64 (n,).

    A shorter message has the id `len(vocabulary)`, which is no word's, in front of its words.
    """
    return Arrays(in_rows(map(tokenize, corpus.texts), vocabulary, longest), corpus.labels.astype(np.int64))


def in_rows(texts: Iterable[list[str]], vocabulary: Vocabulary, longest: int = LONGEST) -> np.ndarray:
    """Same as the first of `encode_in_order`, for texts that are tokens."""
    longest = whole_number("the number of words that are read", longest, least=1, most=MOST)
    found = [vocabulary.in_order(tokens)[-longest:] for tokens in texts]
    rows = np.full((len(found), longest), len(vocabulary), np.int64)
    for row, ids in zip(rows, found, strict=True):
        row[longest - len(ids) :] = ids
    return rows
