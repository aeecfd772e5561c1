"""Labelled messages, and their split into a training part and a public test part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from fedlearn.checked import in_order, taken, takes_plain
from fedlearn.configured import real_number
from fedlearn.datasets.belonging import classes_of, users_of
from fedlearn.datasets.partitions import numbered
from fedlearn.errors import DataError
from fedlearn.seeding import stream
from fedlearn.wording import many

HAM, SPAM = 0, 1


@dataclass(frozen=True, eq=False)
class Corpus:
    """Messages with a label each and, where the source knows them, the users who received them.

    `labels` is int8 of shape (n,): 0 ham, 1 spam. `sha256` is that of the bytes the corpus was read from
    (or, for a generated one, of its tab-separated form) and stays the same in every part taken from it.
    `classes` names the labels 0, 1, ...; `notes` says what was guessed or lost while it was read.
    """

    name: str
    texts: tuple[str, ...]
    labels: np.ndarray
    users: tuple[str, ...] | None
    synthetic: bool
    sha256: str
    source: str
    classes: tuple[str, ...] = ("ham", "spam")
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", tuple(in_order(self.texts, "texts")))
        object.__setattr__(self, "classes", tuple(in_order(self.classes, "classes")))
        owner, count = f"corpus {self.name}", len(self.texts)
        object.__setattr__(self, "labels", classes_of(owner, self.labels, "text", count, self.classes))
        object.__setattr__(self, "users", users_of(owner, self.users, "text", count))

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        """How much there is, never what: private messages end up in no log and no notebook."""
        counts = np.bincount(self.labels, minlength=len(self.classes)) if len(self) else [0] * len(self.classes)
        each = ", ".join(f"{count:,} {name}" for count, name in zip(counts, self.classes, strict=False))
        users = f", {many(len(set(self.users)), 'user')}" if self.users else ""
        return f"<Corpus {self.name}: {many(len(self), 'message')} ({each}){users}>"

    def take(self, indices: Iterable[int]) -> Corpus:
        """The messages at `indices`, in that order."""
        chosen = taken("indices", indices, len(self)).tolist()
        return replace(
            self,
            texts=tuple(self.texts[index] for index in chosen),
            labels=self.labels[chosen],
            users=None if self.users is None else tuple(self.users[index] for index in chosen),
        )

    def without_duplicates(self) -> Corpus:
        """The corpus without texts that repeat an earlier one exactly, whatever their label or user."""
        first: dict[str, int] = {}
        for index, text in enumerate(self.texts):
            first.setdefault(text, index)
        return self.take(first.values())


@takes_plain
def split(corpus: Corpus, test_fraction: float = 0.2, seed: int = 0) -> tuple[Corpus, Corpus]:
    """Shuffle by `seed` and cut into (train, test), duplicates removed first so that none is in both.

    Stratified by label, and by user within a label (see `cut_stratified`). Raises `DataError` if a class
    would be missing from either part.
    """
    corpus = corpus.without_duplicates()
    parts = [corpus.take(part) for part in cut_stratified(_strata(corpus), test_fraction, stream(seed, "split"))]
    for part in parts:
        if len(np.unique(part.labels)) < len(corpus.classes):
            raise DataError(
                f"{corpus.name}: {many(len(corpus), 'distinct message')} at test fraction {test_fraction} would leave "
                f"a part without {' or without '.join(corpus.classes)}: give more messages of the rarer class or "
                "another fraction"
            )
    return parts[0], parts[1]


def cut_stratified(strata: np.ndarray, test_fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a train and a test part, both shuffled, that hold like shares of every stratum.

    Shuffled examples are lined up stratum after stratum, and every (1 / test_fraction)-th goes to the test
    part: no stratum's share is off by more than one example, and strata smaller than that cost it nothing.
    """
    real_number("test fraction", test_fraction, above=0.0, below=1.0, usual="for example 0.2")
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    in_test = np.diff(np.floor(np.arange(len(order) + 1) * test_fraction)) > 0
    return rng.permutation(order[~in_test]), rng.permutation(order[in_test])


def _strata(corpus: Corpus) -> np.ndarray:
    """A number for each (label, user), labels apart before users."""
    if corpus.users is None:
        return corpus.labels
    user = numbered(corpus.users)
    found: np.ndarray = corpus.labels.astype(np.int64) * (int(user.max(initial=0)) + 1) + user
    return found
