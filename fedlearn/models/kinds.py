"""The kinds of samples that models read.

A scenario has data of one or more kinds and describes them by a value of such a class; a model says by `Model.reads`
which kind it reads, and builds itself for that description (`Model.for_samples`). So a scenario takes every model of
its kinds, one of a user's own too, and knows none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Kind:
    """One kind of samples; its fields are what a model must know to build itself. `name` and `about` are for lists."""

    name: ClassVar[str]
    about: ClassVar[str]


@dataclass(frozen=True)
class Features(Kind):
    """Rows of `inputs` numbers, float32 (B, inputs), in `classes` classes, int64 (B,)."""

    inputs: int
    classes: int

    name = "features"
    about = "rows of numbers in classes, as the pixels of small pictures"


@dataclass(frozen=True)
class Words(Kind):
    """Messages as sets of words below `vocabulary` (`fedlearn.datasets.bags.Bags`), labelled 1 or 0: one logit."""

    vocabulary: int

    name = "words"
    about = "messages as sets of words, spam or ham"


@dataclass(frozen=True)
class Sequences(Kind):
    """Messages as words in order, int64 (B, length) below `vocabulary`, in `classes` classes, int64 (B,).

    The number of the last row, vocabulary - 1, stands for no word, in front of a shorter message.
    """

    vocabulary: int
    classes: int
    length: int

    name = "sequences"
    about = "messages as words in order, in classes"


@dataclass(frozen=True)
class Characters(Kind):
    """Pieces of a text, int64 (B, T) below `alphabet`, and as targets, so shaped, the character after each."""

    alphabet: int

    name = "characters"
    about = "a text, and after each character the next one"
