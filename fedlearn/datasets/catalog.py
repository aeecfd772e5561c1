"""What `fedlearn data list` and `fedlearn data show` print."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from fedlearn.datasets import DATASETS, load_corpus
from fedlearn.datasets.corpus import SPAM, Corpus
from fedlearn.datasets.dataset import DataSet
from fedlearn.datasets.tokens import tokenize

QUOTED = 3  # messages shown of a corpus that may be shown


@dataclass(frozen=True)
class Row:
    """One data set in the list; `where` is a path, `built in`, or `not found: ...`."""

    name: str
    task: str
    records: str
    clients: str
    licence: str
    where: str


def rows() -> list[Row]:
    """Every named data set, found or not."""
    sets: list[DataSet] = [DATASETS.load(name) for name in DATASETS.entries]
    return [Row(s.name, s.task, s.records, s.clients, s.licence, s.where()) for s in sets]


@dataclass(frozen=True)
class Description:
    """What is in a corpus: counts by class, by user where known, words, and a few messages if not private."""

    name: str
    source: str
    sha256: str
    messages: int
    distinct: int
    ham: int
    spam: int
    users: dict[str, tuple[int, int]]
    """user: (ham, spam)"""
    tokens: int
    distinct_tokens: int
    first: tuple[str, ...]


def show(name_or_file: str) -> Description:
    """Describe the messages of a data set or file; raises as `load_corpus` does."""
    corpus = load_corpus(name_or_file)
    private = name_or_file in DATASETS.entries and DATASETS.load(name_or_file).private
    words = Counter(token for text in corpus.texts for token in tokenize(text))
    spam = int(np.count_nonzero(corpus.labels == SPAM))
    return Description(
        name=corpus.name,
        source=corpus.source,
        sha256=corpus.sha256,
        messages=len(corpus),
        distinct=len(corpus.without_duplicates()),
        ham=len(corpus) - spam,
        spam=spam,
        users=_by_user(corpus),
        tokens=words.total(),
        distinct_tokens=len(words),
        first=() if private else corpus.texts[:QUOTED],
    )


def _by_user(corpus: Corpus) -> dict[str, tuple[int, int]]:
    counts = Counter(zip(corpus.users or (), corpus.labels.tolist(), strict=False))
    return {user: (counts[user, 0], counts[user, SPAM]) for user in sorted(set(corpus.users or ()))}
