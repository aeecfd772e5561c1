"""What `fedlearn data list` and `fedlearn data show` print."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from fedlearn.datasets import DATASETS, load_corpus
from fedlearn.datasets.corpus import SPAM, Corpus
from fedlearn.datasets.dataset import DataSet
from fedlearn.datasets.text import Alphabet, Script
from fedlearn.datasets.tokens import tokenize

QUOTED = 3  # messages or lines shown of data that may be shown


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
    """What is in a data set: where it is from, its counts under their names, its first lines if not private."""

    name: str
    source: str
    sha256: str
    facts: dict[str, str]
    first: tuple[str, ...]


def show(name_or_file: str) -> Description:
    """Describe a named data set of any kind, or a user's own file of messages; raises as loading it does."""
    named: DataSet | None = DATASETS.load(name_or_file) if name_or_file in DATASETS.entries else None
    data = named.load() if named else load_corpus(name_or_file)
    first = () if named and named.private else tuple(_first(data))
    return Description(data.name, data.source, data.sha256, _facts(data), first)


@singledispatch
def _facts(data: Any) -> dict[str, str]:
    facts: dict[str, str] = data.facts() if hasattr(data, "facts") else {"examples": f"{len(data):,}"}
    return facts


@_facts.register
def _(data: Corpus) -> dict[str, str]:
    words = Counter(token for text in data.texts for token in tokenize(text))
    classes = Counter(zip(data.users or ("",) * len(data), data.labels.tolist(), strict=True))
    spam = int(data.labels.sum())
    users = sorted(set(data.users or ()))
    return {
        "messages": f"{len(data):,}, {len(data.without_duplicates()):,} distinct",
        "classes": f"{len(data) - spam:,} ham, {spam:,} spam",
        "words": f"{words.total():,}, {len(words):,} distinct",
        **{f"user {user}": f"{classes[user, 0]:,} ham, {classes[user, SPAM]:,} spam" for user in users},
    }


@_facts.register
def _(data: Script) -> dict[str, str]:
    speakers = data.by_speaker()
    largest = [f"{name} ({len(said):,})" for name, said in list(speakers.items())[:QUOTED]]
    return {
        "characters": f"{len(data):,}, {len(Alphabet(data.text))} distinct",
        "speakers": f"{len(speakers):,}" + (f", the most by {', '.join(largest)}" if largest else ""),
    }


@singledispatch
def _first(data: Any) -> list[str]:
    """The first few texts, where data are texts."""
    return []


@_first.register
def _(data: Corpus) -> list[str]:
    return list(data.texts[:QUOTED])


@_first.register
def _(data: Script) -> list[str]:
    return data.text.split("\n", QUOTED)[:QUOTED]
