"""The text behind several local steps of a character model, one step after the other.

Only the first batch was seen by the public model, so only its texts pass the span test (see `span`). But with them
the attacker knows that step's gradient, takes away what the public rules make of it to the end, momentum and weight
decay included, and reads on with the next. It fails once the texts of all steps together fill the hidden units, or the
steps are so long that rounding in one hides the next; Adam's steps are no sums of gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.span import Cell, Span, TextFound, read_texts
from fedlearn.datasets.examples import Arrays


@dataclass(frozen=True)
class Peel(EachVector[TextFound]):
    """A finding for each plain update: the texts in the order of the steps, each once."""

    name: ClassVar[str] = "peel"

    def read(self, observed: Observed, vector: Vector) -> TextFound:
        """The texts in one update, until a step cannot be read."""
        if vector.is_sum:
            raise NotReadable("this transcript holds opened sums only: steps are taken again one client at a time")
        gradients: list[np.ndarray] = []
        found: list[tuple[int, ...]] = []
        rank = hidden = 0
        for _ in range(observed.steps(vector)):
            met, span = Span.left(observed, vector, gradients)
            rank, hidden = max(rank, span.rank), span.hidden
            texts = read_texts(Cell.of(observed, met), span)[: int(observed.training["batch_size"])]
            if not texts:
                break
            found += texts
            gradients.append(_gradient(observed, met, texts))
        names = observed.words
        named = dict.fromkeys("".join(names[i] for i in ids) for ids in found)
        return TextFound(self.name, vector.about, vector.round, tuple(named), rank, hidden)


def _gradient(observed: Observed, weights: np.ndarray, texts: list[tuple[int, ...]]) -> np.ndarray:
    """The gradient (P,) of a batch of these texts, at these weights."""
    observed.model.vector[:] = weights
    ids = np.array(texts)
    return observed.model.gradient(Arrays(ids[:, :-1], ids[:, 1:]))[1]
