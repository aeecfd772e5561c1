"""The texts that `fedlearn data list` and `fedlearn data show` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from fedlearn.datasets import DATASETS, Reading, load_anything
from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.dataset import DataSet
from fedlearn.datasets.text import Alphabet, Script
from fedlearn.datasets.tokens import tokenize

USERS = 20  # users shown, each with a line
ABOUT = {"name": "", "source": "made by a Python file", "sha256": "unknown"}  # of data of a type of the user's own
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
    """A row for each named data set, found or not."""
    sets: list[DataSet] = [DATASETS.load(name) for name in DATASETS.entries]
    return [Row(s.name, s.task, s.records, s.clients, s.licence, s.where()) for s in sets]


@dataclass(frozen=True)
class Description:
    """What is said of a data set: where it is from, counts by name, and its first lines if it is not private."""

    name: str
    source: str
    sha256: str
    facts: dict[str, str]
    first: tuple[str, ...]


def show(name_or_file: str, how: Reading | None = None) -> Description:
    """The description of a named data set, or of files of any kind; raises as loading them does. how: of files."""
    named: DataSet | None = DATASETS.load(name_or_file) if name_or_file in DATASETS.entries else None
    data = load_anything(name_or_file, how)
    first = () if named and named.private else tuple(_first(data))
    facts = _facts(data)
    notes = getattr(data, "notes", ())
    name, source, sha256 = (getattr(data, about, default) for about, default in ABOUT.items())
    return Description(
        name or name_or_file, source, sha256, facts | ({"notes": "; ".join(notes)} if notes else {}), first
    )


@singledispatch
def _facts(data: Any) -> dict[str, str]:
    facts: dict[str, str] = (
        data.facts()
        if hasattr(data, "facts")
        else {"examples": f"{len(data):,}" if isinstance(data, Sized) else type(data).__name__}
    )
    return facts


@_facts.register
def _(data: Corpus) -> dict[str, str]:
    words = Counter(token for text in data.texts for token in tokenize(text))
    counts = Counter(zip(data.users or ("",) * len(data), data.labels.tolist(), strict=True))
    users = Counter(data.users or ())
    shown = sorted(user for user, _ in users.most_common(USERS))

    def shares(of: Iterable[str]) -> str:
        of = list(of)
        numbers = (sum(counts[user, number] for user in of) for number in range(len(data.classes)))
        return ", ".join(f"{n:,} {name}" for n, name in zip(numbers, data.classes, strict=True))

    return {
        "messages": f"{len(data):,}, {len(data.without_duplicates()):,} distinct",
        "classes": shares(users or [""]),
        "words": f"{words.total():,}, {len(words):,} distinct",
        **(
            {"users": f"{len(users):,}, of whom the {USERS} with the most messages are shown"}
            if len(users) > USERS
            else {}
        ),
        **{f"user {user}": shares([user]) for user in shown},
    }


@_facts.register
def _(data: Script) -> dict[str, str]:
    speakers = data.by_speaker()
    largest = [f"{name} ({len(speech):,})" for name, speech in list(speakers.items())[:QUOTED]]
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
