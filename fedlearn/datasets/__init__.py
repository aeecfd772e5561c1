"""Data sets by name or file, vocabularies that number their words, partitions that make clients of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlearn.datasets.corpus import Corpus, split
from fedlearn.datasets.dataset import CHARACTERS, CLASSES, MESSAGES, DataSet
from fedlearn.errors import BadInput, DataError
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from fedlearn.datasets.dense import Samples
    from fedlearn.datasets.text import Script

__all__ = [
    "DATASETS",
    "PARTITIONS",
    "VOCABULARIES",
    "Corpus",
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
    """The messages of a named data set, or of a user's own tab-separated file.

    Raises `DataError` for a file that is missing, malformed or not the pinned one, and `BadInput` for a
    named data set of another kind.
    """
    from fedlearn.datasets.messages import parse_messages

    corpus: Corpus = _load(name_or_file, MESSAGES, parse_messages)
    return corpus


def load_script(name_or_file: str) -> Script:
    """The text of a named data set, or of a user's own file; raises as `load_corpus` does."""
    from fedlearn.datasets.text import parse_script

    script: Script = _load(name_or_file, CHARACTERS, parse_script)
    return script


def load_samples(name: str) -> Samples:
    """A named data set of numbers in classes; raises `BadInput` for any other."""
    found: DataSet = DATASETS.load(name)
    samples: Samples = _of_task(found, CLASSES).load()
    return samples


def _load(name_or_file: str, task: str, parse: Callable[[bytes, str, str], Any]) -> Any:
    if name_or_file in DATASETS.entries:
        return _of_task(DATASETS.load(name_or_file), task).load()
    if not os.path.exists(name_or_file):  # unlike Path.exists, false also for a path that cannot be
        near = get_close_matches(name_or_file, DATASETS.entries, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise DataError(
            f"{name_or_file!r} is neither a file nor a data set{hint}: give the path of a file of your own, "
            f"or one of {', '.join(_names(task))}"
        )
    path = Path(name_or_file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): give a file that can be read") from None
    return parse(data, str(path), f"file {path}")


def _of_task(found: DataSet, task: str) -> DataSet:
    if found.task != task:
        raise BadInput(f"data set {found.name} is for {found.task}, not {task}: choose {', '.join(_names(task))}")
    return found


def _names(task: str) -> list[str]:
    return [name for name in DATASETS.entries if DATASETS.load(name).task == task]
