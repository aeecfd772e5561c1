"""Was this message, or this word, in somebody's training data?

Two signs speak for a message: the rows of its words moved, and the words that one recovered message has to itself
(see `unmix`) are all among its own. Shokri et al. 2017 named the question for models; on an update of an embedding
it needs no shadow model. It fails where so many clients are summed that most words move for somebody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.attacks.base import Finding
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.unmix import equal_groups


@dataclass(frozen=True, eq=False)
class MembershipFound(Finding):
    """How much each candidate looks like a member.

    scores: float64 (candidates,), higher for what looks more like a member.
    """

    candidates: tuple[tuple[str, ...], ...]
    scores: np.ndarray

    def summary(self) -> str:
        best = np.argsort(-self.scores, kind="stable")[:10]
        return "most likely members: " + ", ".join(f"{' '.join(self.candidates[i])} {self.scores[i]:.2f}" for i in best)


@dataclass(frozen=True)
class Membership(EachVector[MembershipFound]):
    """A finding for each plain update and each opened sum.

    candidates: messages as the words they hold; where none are given, every word of the vocabulary.
    """

    candidates: tuple[tuple[str, ...], ...] = ()

    name: ClassVar[str] = "membership"

    def read(self, observed: Observed, vector: Vector) -> MembershipFound:
        """The candidates' scores in one vector."""
        candidates = self.candidates or tuple((word,) for word in observed.words)
        groups = equal_groups(observed, vector)
        there = {word for group in groups.words for word in group}
        scores = np.array([_share(candidate, there) for candidate in candidates])
        if self.candidates:
            word_groups = [set(group) for group in groups.words if len(group) > 1]
            scores += [_most_held(set(candidate), word_groups) for candidate in candidates]
        return MembershipFound(self.name, vector.about, vector.round, candidates, scores)


def _share(candidate: tuple[str, ...], there: set[str]) -> float:
    """The share of words that moved."""
    return sum(word in there for word in candidate) / max(1, len(candidate))


def _most_held(candidate: set[str], groups: list[set[str]]) -> int:
    """The most words that a recovered message, all of whose own words the candidate has, has to itself."""
    return max((len(words) for words in groups if words <= candidate), default=0)
