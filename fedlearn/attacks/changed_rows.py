"""The words of an update: only rows of words that occurred in training have moved.

An embedding row has a gradient only where its word occurs, so the rows that changed name the words (Melis et al. 2019,
"Exploiting Unintended Feature Leakage in Collaborative Learning"; Trask, Grokking Deep Learning, ch. 15). It needs no
optimisation. Weight decay moves all rows: the attack trains an embedding whose words do not occur by the public rules
and takes that away, exactly where it knows how many examples a client has; in a sum, what is left of the shrinking is
told by the median row, so that there most words must not occur. It fails on encrypted updates, and finds only the union
of all words in an opened sum; under differential privacy it takes for moved what noise alone hardly reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import norm

from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.replay import coasted

EMBEDDINGS = ("words.weight", "embedding.weight")
BEYOND_ROUNDING = 3.0  # times the median row's distance from pure shrinking


@dataclass(frozen=True, eq=False)
class WordsFound(Finding):
    """The set of words that occurred in training."""

    words: tuple[str, ...]

    def summary(self) -> str:
        return " ".join(self.words) or "(nothing)"


@dataclass(frozen=True)
class ChangedRows(EachVector[WordsFound]):
    """The words whose rows moved, of each plain update and each opened sum."""

    name: ClassVar[str] = "changed_rows"

    def read(self, observed: Observed, vector: Vector) -> WordsFound:
        """The words in one vector."""
        return WordsFound(self.name, vector.about, vector.round, moved_words(observed, vector))


def moved_words(observed: Observed, vector: Vector) -> tuple[str, ...]:
    """The words whose rows of the embedding training moved."""
    rows, _ = moved_rows(observed, vector)
    return tuple(observed.words[row] for row in rows)


def moved_rows(observed: Observed, vector: Vector) -> tuple[np.ndarray, np.ndarray]:
    """Which rows (m,) of the embedding trained, and by how much, float64 (m, D), in the codec's integers."""
    suffix = embedding_name(observed)
    rest = observed.parameter(vector, suffix).astype(np.float64)
    if observed.training.get("weight_decay"):
        weights = observed.part(observed.weights[vector.round], suffix)
        rest -= _untouched(observed, vector, weights)
        if vector.addends > 1 or observed.segment(vector, "capped").any():
            rest -= _common_shrink(rest, weights) * weights
            rest *= np.abs(rest) > BEYOND_ROUNDING * np.median(np.abs(rest).max(axis=1))
    rest *= np.abs(rest).max(axis=1, keepdims=True) > _beyond_noise(observed, vector, rest.size)
    moved = np.flatnonzero(rest.any(axis=1))
    return moved, rest[moved]


def _beyond_noise(observed: Observed, vector: Vector, numbers: int) -> float:
    """The value that noise alone exceeds once among so many numbers, on average; 0 where there is none."""
    return observed.noise(vector) * float(norm.isf(0.5 / numbers))


def embedding_name(observed: Observed) -> str:
    """The end of the embedding's name; raises `NotReadable` for a model without one."""
    names = [name for name, _ in observed.model.named_parameters()]
    for known in EMBEDDINGS:
        if any(name.endswith(known) for name in names):
            return known
    raise NotReadable("the run's model has no embedding: this attack reads which of its rows changed")


def _untouched(observed: Observed, vector: Vector, weights: np.ndarray) -> np.ndarray:
    """The change that training makes to rows whose words do not occur, in integers: exact for clients of one size."""
    _, delta = coasted(observed, vector, weights)
    share = min(observed.examples(vector) / vector.addends / observed.layout.max_weight, 1.0)
    alone = np.rint(delta * np.float64(share) / observed.unit(vector))
    return vector.addends * alone.reshape(weights.shape)


def _common_shrink(delta: np.ndarray, weights: np.ndarray) -> float:
    """The factor by which the median row shrank."""
    lengths = np.sum(np.square(weights, dtype=np.float64), axis=1)
    ratios = np.sum(delta * weights, axis=1) / np.where(lengths > 0, lengths, 1.0)
    return float(np.median(ratios))
