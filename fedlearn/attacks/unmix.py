"""Whole messages out of an update of a bag-of-embeddings model.

Under SGD the row of word v moves by Delta_v, the sum over messages i that hold v of A_i, and A_i is the same for
all words of message i: its errors times the head's weights, over its length, added up over the local epochs. So

* rows that moved equally belong to words that occur in the same messages: words of one message only stand together;
* a word of several messages moved by the sum of their A_i: a small subset sum, found by meeting in the middle.

It needs words that only one message holds, and weights that are not too coarsely rounded. It reads the opened sum
of many clients as well as one client's update. Under Adam rows are no sums: only the groups of equal rows are found,
and few steps of its nearly equal sizes make rows of different messages equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn import nn
from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.changed_rows import embedding_name, moved_rows
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.wording import many

DECOYS = (0.97, 1.03)  # factors that make a row one which should decode to nothing
CHANCE = 0.02  # the most subsets that a decoy may have on average


@dataclass(frozen=True, eq=False)
class MessagesFound(Finding):
    """Sets of words that stood in one message, and what each message did to its words.

    private  by message: words that no other message holds
    shared   by message: words that others hold too
    moved    float64 (messages, D): A_i, in the codec's integers
    """

    private: tuple[tuple[str, ...], ...]
    shared: tuple[tuple[str, ...], ...]
    moved: np.ndarray

    @property
    def messages(self) -> list[set[str]]:
        return [set(mine) | set(others) for mine, others in zip(self.private, self.shared, strict=True)]

    def summary(self) -> str:
        lines = [" ".join((*mine, *others)) for mine, others in zip(self.private, self.shared, strict=True)]
        return f"{many(len(lines), 'message')}\n  " + "\n  ".join(lines)


@dataclass(frozen=True)
class Unmix(EachVector[MessagesFound]):
    """A finding for each plain update and each opened sum.

    most_decoded: above so many different rows, shared words are left alone: their sums are no longer unique.
    """

    most_decoded: int = 700

    name: ClassVar[str] = "unmix"

    def read(self, observed: Observed, vector: Vector) -> MessagesFound:
        """The messages in one vector."""
        groups = equal_groups(observed, vector)
        words = groups.words
        sums = subset_sums(groups.moved, groups.slack) if 0 < len(words) <= self.most_decoded else {}
        shared: dict[int, list[str]] = {i: [] for i in range(len(words)) if i not in sums}
        for word, parts in sums.items():
            for part in parts:
                shared[part] += words[word]
        messages = [i for i in shared if len(words[i]) + len(shared[i]) > 1]
        return MessagesFound(
            self.name, vector.about, vector.round,
            private=tuple(words[i] for i in messages),
            shared=tuple(tuple(shared[i]) for i in messages),
            moved=groups.moved[messages],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Groups:
    """Words whose rows moved equally: by how much, and how far that may be off by rounding, both float64 (n, D)."""

    words: list[tuple[str, ...]]
    moved: np.ndarray
    slack: np.ndarray


def equal_groups(observed: Observed, vector: Vector) -> Groups:
    """The words of a vector, those together whose rows moved equally.

    Raises `NotReadable` for a model that reads words in order, in which equal rows mean nothing.
    """
    if not any(isinstance(module, nn.EmbeddingBag) for module in observed.model.modules()):
        raise NotReadable("the run's model is no bag of embeddings: in others words of one message move differently")
    rows, moved = moved_rows(observed, vector)
    slack = _rounding(observed, vector, rows)
    groups = equal_rows(moved, slack)
    named = observed.words
    return Groups(
        [tuple(named[rows[i]] for i in group) for group in groups],
        np.array([moved[group].mean(axis=0) for group in groups]).reshape(-1, moved.shape[1]),
        np.array([slack[group].max(axis=0) for group in groups]).reshape(-1, moved.shape[1]),
    )


def _rounding(observed: Observed, vector: Vector, rows: np.ndarray) -> np.ndarray:
    """How far each moved number (m, D) may be off, in the codec's integers: by the codec, and by float32's steps."""
    weights = observed.part(observed.weights[vector.round], embedding_name(observed))[rows]
    touched = int(observed.training.get("epochs", 1))
    given = observed.training
    if given.get("momentum") or given.get("weight_decay") or given.get("optimizer", "sgd") != "sgd":
        touched = observed.steps(vector)  # such rules move a row in every step, whatever its batch held
    share = min(1.0, observed.examples(vector) / vector.addends / observed.layout.max_weight)
    found: np.ndarray = (
        0.5
        + 2 * observed.noise(vector)
        + 0.5 * np.sqrt(touched) * np.spacing(np.abs(weights)).astype(np.float64) * share / observed.unit(vector)
    )
    return found


def equal_rows(moved: np.ndarray, slack: np.ndarray) -> list[np.ndarray]:
    """Indices of rows that are equal but for rounding, group by group; the rows are (m, D), both of them."""
    groups = []
    left = np.arange(len(moved))
    while left.size:
        first = left[0]
        same = _squared(moved[left] - moved[first]) <= _squared(slack[left]) + _squared(slack[first])
        groups.append(left[same])
        left = left[~same]
    return groups


def subset_sums(rows: np.ndarray, slack: np.ndarray) -> dict[int, tuple[int, ...]]:
    """Which rows (n, D) are sums of others: the two to four summands by index, () where it takes more.

    A sum counts only if it is the one of its size, and sizes count only while chance finds none: see `decode`.
    """
    sums: dict[int, tuple[int, ...]] = {}
    for size in (2, 3):  # first tell rows that are sums, and stand for no message of their own, from the others
        parts = [i for i in range(len(rows)) if i not in sums]
        sums |= _Sums(rows, slack, parts).decode(parts, size)
    atoms = _Sums(rows, slack, [i for i in range(len(rows)) if i not in sums])
    decoded: dict[int, tuple[int, ...]] = {}
    for size in (2, 3, 4):
        decoded |= atoms.decode([i for i in sums if i not in decoded], size)
    return {i: decoded.get(i, ()) for i in sums}


class _Sums:
    """All sums of two of the rows `parts`, sorted along the direction in which rows differ most."""

    def __init__(self, rows: np.ndarray, slack: np.ndarray, parts: list[int]):
        self.rows, self.slack, self.parts = rows, slack, np.array(parts, int)
        chosen = rows[self.parts]
        self.axis = np.linalg.svd(chosen, full_matrices=False)[2][0] if len(parts) else np.zeros(rows.shape[1])
        first, second = np.triu_indices(len(parts), 1)
        sums = chosen[first] + chosen[second]
        order = np.argsort(sums @ self.axis)
        self.first, self.second = self.parts[first[order]], self.parts[second[order]]
        self.sums = sums[order]
        self.along = self.sums @ self.axis

    def decode(self, targets: list[int], size: int) -> dict[int, tuple[int, ...]]:
        """The one subset of `size` parts that sums to a target, for every target that has one.

        Nothing is decoded where rows that mean nothing, the targets scaled a little, find subsets as well.
        """
        by_chance = [len(self._of(target, size, scale)) for target in targets for scale in DECOYS]
        if not targets or np.mean(by_chance) > CHANCE:
            return {}
        matches = {target: self._of(target, size) for target in targets}
        return {target: subsets.pop() for target, subsets in matches.items() if len(subsets) == 1}

    def _of(self, target: int, size: int, scale: float = 1.0) -> set[tuple[int, ...]]:
        """The subsets of `size` parts, the target not among them, that sum to `scale` times it."""
        if size == 2:
            starts: np.ndarray = np.zeros((1, self.rows.shape[1]))
            taken: list[tuple[int, ...]] = [()]
        elif size == 3:
            starts, taken = self.rows[self.parts], [(int(part),) for part in self.parts]
        else:
            starts, taken = self.sums, list(zip(self.first.tolist(), self.second.tolist(), strict=True))
        rest = scale * self.rows[target] - starts
        along = rest @ self.axis
        reach = np.sqrt(2 * size * _squared(self.slack[target]))
        low, high = np.searchsorted(self.along, along - reach), np.searchsorted(self.along, along + reach)
        found = set()
        for i in np.flatnonzero(high > low):
            for j in range(low[i], high[i]):
                subset = {*taken[i], int(self.first[j]), int(self.second[j])}
                if len(subset) == size and target not in subset and self._near(rest[i] - self.sums[j], target, subset):
                    found.add(tuple(sorted(subset)))
        return found

    def _near(self, off: np.ndarray, target: int, subset: set[int]) -> bool:
        """True if rounding explains what is left: a word of several messages was rounded in each of them."""
        allowed = len(subset) * _squared(self.slack[target]) + _squared(self.slack[list(subset)]).sum()
        return bool(_squared(off) <= allowed)


def _squared(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sum(rows * rows, axis=-1)
    return found
