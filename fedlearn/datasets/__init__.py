"""Data sets by name or file, vocabularies that number their words, partitions that make clients of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlearn.datasets.corpus import Corpus, split
from fedlearn.datasets.dataset import CHARACTERS, CLASSES, MESSAGES, DataSet
from fedlearn.errors import BadInput, DataError
from fedlearn.registry import Registry
from fedlearn.spec import did_you_mean

if TYPE_CHECKING:
    from fedlearn.datasets.dense import Samples
    from fedlearn.datasets.text import Script

__all__ = [
    "DATASETS",
    "PARTITIONS",
    "VOCABULARIES",
    "Corpus",
    "load",
    "load_corpus",
    "load_samples",
    "load_script",
    "split",
]

DATASETS = Registry(
    "data set",
    {
        "sample": ("fedlearn.datasets.sample:SAMPLE", "short messages written by this program: synthetic"),
        "sms_spam": ("fedlearn.datasets.messages:SMS_SPAM", "SMS Spam Collection, 5,574 SMS, ham or spam"),
        "enron": ("fedlearn.datasets.messages:ENRON", "6,000 e-mails of six Enron mailboxes, ham or spam"),
        "sample_play": (
            "fedlearn.datasets.sample_play:SAMPLE_PLAY",
            "a play without a plot, by this program: synthetic",
        ),
        "shakespeare": ("fedlearn.datasets.text:SHAKESPEARE", "40,000 lines of plays, speakers as clients"),
        "trask": ("fedlearn.datasets.text:TRASK", "the text of Grokking Deep Learning ch. 14, machine-made"),
        "digits": ("fedlearn.datasets.dense:DIGITS", "scikit-learn's 1,797 images of digits, 8 x 8"),
        "spirals": ("fedlearn.datasets.dense:SPIRALS", "300 points on three noisy spirals: synthetic"),
    },
)

PARTITIONS = Registry(
    "partition",
    {
        "iid": ("fedlearn.datasets.partitions:IID", "a shuffled deal, equal sizes"),
        "dirichlet": (
            "fedlearn.datasets.partitions:Dirichlet",
            "dirichlet:ALPHA, class shares differ by client",
        ),
        "shards": ("fedlearn.datasets.partitions:Shards", "shards:N, N label-sorted shards to each client"),
        "natural": ("fedlearn.datasets.partitions:Natural", "each user of the data is a client"),
    },
)

VOCABULARIES = Registry(
    "vocabulary",
    {
        "hashed": (
            "fedlearn.datasets.vocabulary:HashedVocabulary",
            "hashed:BUCKETS, nothing but a size is shared",
        ),
        "explicit": ("fedlearn.datasets.vocabulary:ExplicitVocabulary", "explicit:FILE, a public word list"),
    },
)


def load_corpus(name_or_file: str) -> Corpus:
    """The messages of a named data set, of a user's own tab-separated file, or of one made by a Python file.

    Raises `DataError` for a file that is missing, malformed or not the pinned one, and `BadInput` for a
    named data set of another kind.
    """
    from fedlearn.datasets.messages import parse_messages

    corpus: Corpus = load(name_or_file, MESSAGES, Corpus, parse_messages)
    return corpus


def load_script(name_or_file: str) -> Script:
    """The text of a named data set, or of a user's own file; raises as `load_corpus` does."""
    from fedlearn.datasets.text import Script, parse_script

    script: Script = load(name_or_file, CHARACTERS, Script, parse_script)
    return script


def load_samples(name_or_file: str) -> Samples:
    """Numbers in classes: of a named data set, or made by a Python file; raises as `load_corpus` does.

    What a Python file makes may be a pair of arrays too: features (n, ...) and classes (n,).
    """
    from fedlearn.datasets.dense import Samples

    found = load(name_or_file, CLASSES, (Samples, tuple))
    return found if isinstance(found, Samples) else Samples.of(name_or_file, *found, source=f"made by {name_or_file}")


def load(
    name_or_file: str,
    task: str,
    kinds: type | tuple[type, ...],
    parse: Callable[[bytes, str, str], Any] | None = None,
) -> Any:
    """The data of a named data set for this task, of a user's own file, or of `file.py:NAME`; an instance of `kinds`.

    NAME is a `DataSet`, a class of such, or a function without arguments that returns the data.
    parse: reads a file from its bytes, name and origin; None where no file can be read.
    """
    name, argument = DATASETS.split(name_or_file)
    if name in DATASETS.entries and argument is None:
        return _of_task(DATASETS.load(name), task).load()
    if ":" in name:
        return _made_by(name_or_file, task, kinds)
    if parse is None or not os.path.exists(name_or_file):  # unlike Path.exists, false also for a path that cannot be
        own = "file.py:NAME" if parse is None else "the path of a file of your own, file.py:NAME"
        raise DataError(
            f"{name_or_file!r} is neither a file nor a data set{did_you_mean(name_or_file, DATASETS.entries)}: "
            f"give {own}, or one of {', '.join(names_for(task))}"
        )
    path = Path(name_or_file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): give a file that can be read") from None
    return parse(data, str(path), f"file {path}")


def names_for(task: str) -> list[str]:
    """The named data sets of a kind."""
    return [name for name in DATASETS.entries if DATASETS.load(name).task == task]


def _made_by(place: str, task: str, kinds: type | tuple[type, ...]) -> Any:
    found = DATASETS.load(place)
    if isinstance(found, type) and issubclass(found, DataSet):
        made: Any = found  # with fields that all have defaults
        found = made()
    make = _of_task(found, task).load if isinstance(found, DataSet) else found
    data = make() if callable(make) else make
    if not isinstance(data, kinds) or (isinstance(data, tuple) and len(data) != 2):
        raise BadInput(f"{place} makes a {type(data).__name__}: make data for {task}, {_named(kinds)}")
    return data


def _named(kinds: type | tuple[type, ...]) -> str:
    return " or ".join(f"a {kind.__name__}" for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))


def _of_task(found: DataSet, task: str) -> DataSet:
    if found.task != task:
        raise BadInput(f"data set {found.name} is for {found.task}, not {task}: choose {', '.join(names_for(task))}")
    return found
