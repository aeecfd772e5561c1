"""Messages as bags of words: the examples that a word model trains on."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fedlearn.checked import REAL, as_array, listed, real_array, taken, takes_plain
from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.tokens import tokenize
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import BadInput, ShapeError
from fedlearn.wording import many


@dataclass(frozen=True, eq=False)
class Bags:
    """Sets of words in compressed sparse rows: message i holds `indices[offsets[i]:offsets[i + 1]]`.

    indices: int32 (total words,); offsets: int64 (n + 1,), from 0 to total words; labels: float32 (n,). Labels of
    another type are made float32, so that bags of several clients are alike.
    """

    indices: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        for name in ("indices", "offsets", "labels"):
            numbers = as_array(name, getattr(self, name))
            if numbers.ndim != 1 or numbers.dtype.kind not in REAL:
                real_array(name, numbers, 1)  # says what is wrong
            object.__setattr__(self, name, numbers)
        object.__setattr__(self, "labels", _single(self.labels))
        ends = (self.offsets[0], self.offsets[-1]) if len(self.offsets) == len(self.labels) + 1 else None
        if ends != (0, len(self.indices)):
            raise ShapeError(
                f"bags do not fit together: {many(len(self.labels), 'label')}, {many(len(self.offsets), 'offset')}, "
                f"{many(len(self.indices), 'index', 'indices')}: offsets must be one more than labels, begin with 0 "
                "and end at the number of indices"
            )
        for name, numbers in (("indices", self.indices), ("offsets", self.offsets)):
            if numbers.dtype.kind not in "iu" and numbers.size:
                raise BadInput(f"{name} of bags are {numbers.dtype}: give whole numbers, as int64")
        if self.indices.min(initial=0) < 0:
            raise BadInput(f"indices of bags begin at {self.indices.min()}: words are numbered from 0")
        if (self.offsets[1:] < self.offsets[:-1]).any():
            raise ShapeError("offsets of bags fall: each bag begins where the one before it ends, or later")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        """How much there is, never what."""
        return f"<Bags: {many(len(self), 'message')} of {many(len(self.indices), 'word')}>"

    def take(self, order: np.ndarray | slice) -> Bags:
        """The messages at `order`, in that order."""
        if isinstance(order, slice):
            start, stop, step = order.indices(len(self))
            if step == 1:
                return self._range(start, max(start, stop))
            order = np.arange(start, stop, step)
        order = taken("order", order, len(self))
        lengths = np.diff(self.offsets)[order]
        offsets = _offsets(lengths)
        # Position p of new row r came from p - offsets[r] + (where row r began before).
        source = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][order] - offsets[:-1], lengths)
        return self._of(self.indices[source], offsets, self.labels[order])

    def _range(self, start: int, stop: int) -> Bags:
        offsets = self.offsets[start : stop + 1]
        return self._of(self.indices[offsets[0] : offsets[-1]], offsets - offsets[0], self.labels[start:stop])

    def _of(self, indices: np.ndarray, offsets: np.ndarray, labels: np.ndarray) -> Bags:
        """Some of these bags: what was checked once is not checked for every batch."""
        found = object.__new__(Bags)
        found.__dict__.update(indices=indices, offsets=offsets, labels=labels)
        return found

    @property
    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """(indices, offsets) as `EmbeddingBag` takes them in PyTorch: n offsets, where each bag begins."""
        return self.indices, self.offsets[:-1]

    @property
    def targets(self) -> np.ndarray:
        """float32 (n,): 1 spam, 0 ham."""
        return self.labels


@takes_plain
def encode(corpus: Corpus, vocabulary: Vocabulary) -> Bags:
    """Each message as the set of its words' ids; a message without a known word is an empty bag."""
    return encode_texts(corpus.texts, corpus.labels, vocabulary)


@takes_plain
def encode_texts(texts: Sequence[str], labels: np.ndarray, vocabulary: Vocabulary) -> Bags:
    """Same as `encode`, for n texts and their labels (n,)."""
    return bags_of((vocabulary.row(tokenize(text)) for text in listed(texts, "texts")), labels)


def bags_of(rows: Iterable[list[int]], labels: np.ndarray) -> Bags:
    """Bags of n rows of ids and their labels (n,)."""
    indices, lengths = array("i"), array("q")
    for row in rows:
        indices.extend(row)
        lengths.append(len(row))
    known = _single(real_array("labels", labels, 1))
    if not np.isfinite(known).all():
        raise BadInput("labels hold a number that is not finite: give the class of each text")
    return Bags(np.array(indices, np.int32), _offsets(np.array(lengths, np.int64)), known)


def _single(labels: np.ndarray) -> np.ndarray:
    """The labels in float32; a number beyond its range becomes infinite."""
    with np.errstate(over="ignore"):
        return labels.astype(np.float32, copy=False)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
