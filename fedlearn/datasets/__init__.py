"""Data sets by name or file, vocabularies that number their words, partitions that make clients of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlearn.checked import takes_plain
from fedlearn.datasets import files  # imports a reader when it is asked for: hence the lambdas below
from fedlearn.datasets.corpus import Corpus, split
from fedlearn.datasets.dataset import CHARACTERS, CLASSES, MESSAGES, DataSet
from fedlearn.datasets.files.reading import STANDARD_INPUT, Reading
from fedlearn.errors import BadInput, DataError
from fedlearn.lazy import lazy
from fedlearn.registry import Registry
from fedlearn.spec import did_you_mean

if TYPE_CHECKING:
    from fedlearn.datasets.bags import Bags, encode
    from fedlearn.datasets.dense import Samples
    from fedlearn.datasets.examples import Arrays, Examples
    from fedlearn.datasets.text import Script
    from fedlearn.datasets.vocabulary import ExplicitVocabulary, HashedVocabulary

__all__ = [
    "DATASETS",
    "PARTITIONS",
    "VOCABULARIES",
    "Arrays",
    "Bags",
    "Corpus",
    "Examples",
    "ExplicitVocabulary",
    "HashedVocabulary",
    "Reading",
    "encode",
    "load",
    "load_anything",
    "load_corpus",
    "load_samples",
    "load_script",
    "split",
]

__getattr__ = lazy(
    __name__,
    {
        **dict.fromkeys(("Bags", "encode"), "bags"),
        **dict.fromkeys(("Arrays", "Examples"), "examples"),
        **dict.fromkeys(("ExplicitVocabulary", "HashedVocabulary"), "vocabulary"),
    },
)

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
        "iris": ("fedlearn.datasets.dense:IRIS", "scikit-learn's 150 flowers of three kinds"),
        "wine": ("fedlearn.datasets.dense:WINE", "scikit-learn's 178 wines of three growers"),
        "breast_cancer": ("fedlearn.datasets.dense:BREAST_CANCER", "scikit-learn's 569 samples, benign or not"),
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
    "fedlearn.datasets.partitions:Partitioner",
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
    "fedlearn.datasets.vocabulary:Vocabulary",
)


@takes_plain
def load_corpus(name_or_file: str | Path, how: Reading | None = None) -> Corpus:
    """The messages of a named data set, of files of a user's own in any form, or made by a Python file.

    how: what the user says of files (`fedlearn.datasets.files`); - is standard input. Raises `DataError` for a file
    that is missing, malformed or not the pinned one, and `BadInput` for a named data set of another kind.
    """
    corpus: Corpus = load(name_or_file, MESSAGES, Corpus, lambda path, how: files.read_messages(path, how), how)
    return corpus


@takes_plain
def load_script(name_or_file: str | Path, how: Reading | None = None) -> Script:
    """The text of a named data set, or of a user's own file; how, and what is raised: as of `load_corpus`."""
    from fedlearn.datasets.text import Script

    script: Script = load(name_or_file, CHARACTERS, Script, lambda path, how: files.read_script(path, how), how)
    return script


@takes_plain
def load_samples(name_or_file: str | Path, how: Reading | None = None) -> Samples:
    """Numbers in classes: of a named data set, of a user's own table or arrays, or made by a Python file.

    how, and what is raised: as of `load_corpus`.

    What a Python file makes may be a pair of arrays too: features (n, ...) and classes (n,).
    """
    from fedlearn.datasets.dense import Samples

    found = load(name_or_file, CLASSES, (Samples, tuple), lambda path, how: files.read_samples(path, how), how)
    samples: Samples = _paired(name_or_file, found)
    return samples


@takes_plain
def load_anything(name_or_file: str | Path, how: Reading | None = None) -> Any:
    """The data of a name, a file or a Python file, of whatever kind they are; how, and what is raised: as above."""
    found = load(name_or_file, None, object, lambda path, how: files.read_anything(path, how), how)
    return _paired(name_or_file, found)


def _paired(name: str | Path, found: Any) -> Any:
    """The loaded data set; a pair of arrays, which only a Python file makes, becomes `Samples`."""
    from fedlearn.datasets.dense import Samples

    return Samples.of(str(name), *found, source=f"made by {name}") if isinstance(found, tuple) else found


def load(
    name_or_file: str | Path,
    task: str | None,
    kinds: type | tuple[type, ...],
    read: Callable[[str, Reading | None], Any] | None = None,
    how: Reading | None = None,
) -> Any:
    """The data of a named data set for this task, of a user's own file, or of `file.py:NAME`; an instance of `kinds`.

    NAME is a `DataSet`, a class of such, or a function without arguments that returns the data. task: None for any.
    read: reads what stands at a path, as `how` says; None where no file can be read.
    """
    name_or_file = os.fspath(name_or_file)
    if read is not None and is_path(name_or_file):
        return read(name_or_file, how)
    if how is not None and how != Reading():
        raise BadInput(f"{name_or_file} is no file of yours: leave out the options that say how to read one")
    name, argument = DATASETS.split(name_or_file)
    if name in DATASETS.entries and argument is None:
        return _of_task(DATASETS.load(name), task).load()
    if ":" in name:
        return _made_by(name_or_file, task, kinds)
    remedy = "file.py:NAME" if read is None else "the path of a file of your own, file.py:NAME"
    raise DataError(
        f"{name_or_file!r} is neither a file nor a data set{did_you_mean(name_or_file, DATASETS.entries)}: "
        f"give {remedy}, or one of {', '.join(names_for(task))}"
    )


def is_path(name_or_file: str) -> bool:
    """True where files of the user's are meant; a named data set comes before a file of that name in this folder."""
    there = name_or_file == STANDARD_INPUT or os.path.exists(os.path.expanduser(name_or_file))
    return there and name_or_file not in DATASETS.entries


def names_for(task: str | None) -> list[str]:
    """The named data sets of a kind, or of all."""
    return [name for name in DATASETS.entries if task is None or DATASETS.load(name).task == task]


def _made_by(place: str, task: str | None, kinds: type | tuple[type, ...]) -> Any:
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


def _of_task(found: DataSet, task: str | None) -> DataSet:
    if task is not None and found.task != task:
        raise BadInput(f"data set {found.name} is for {found.task}, not {task}: choose {', '.join(names_for(task))}")
    return found
