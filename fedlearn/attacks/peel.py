"""The text behind several local steps of a character model, one step after the other.

Only the first batch was seen by the public model, so only its texts pass the span test (see `span`). But with them
the attacker takes that step itself, by the public rules, takes it away from the update, and reads on with the next.
It fails once the texts of all steps together fill the hidden units, or the steps are so long that rounding in one
hides the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.span import Cell, Span, TextFound, read_texts, rounding
from fedlearn.datasets.bags import Arrays
from fedlearn.protocol import PartyView
from fedlearn.strategies import STRATEGIES


@dataclass(frozen=True)
class Peel:
    """A finding for each plain update: the texts in the order of the steps."""

    name: ClassVar[str] = "peel"

    def run(self, view: PartyView) -> list[TextFound]:
        observed = Observed(view)
        return [self.read(observed, vector) for vector in observed.readable()]

    def read(self, observed: Observed, vector: Vector) -> TextFound:
        """The texts in one vector, until a step cannot be read."""
        weights = observed.weights[vector.round].copy()
        rest = observed.mean(vector).astype(np.float64)
        scale = np.abs(observed.segment(vector, "delta")).max() / np.abs(rest).max()  # integers for one unit of rest
        noise = rounding(observed, vector)
        batch = int(observed.training["batch_size"])
        steps = int(observed.training["epochs"]) * -(-observed.examples(vector) // batch)
        found: list[tuple[int, ...]] = []
        rank = hidden = 0
        for _ in range(steps):
            cell = Cell.of(observed, weights)
            span = Span.of(observed.part(rest, "weight_hh_l0") * scale, noise)
            rank, hidden = max(rank, span.rank), cell.hidden
            texts = read_texts(cell, span)[:batch]
            if not texts:
                break
            found += texts
            ahead = _stepped(observed, weights, texts)
            rest -= ahead.astype(np.float64) - weights
            weights = ahead
        names = observed.words
        texts_found = tuple("".join(names[i] for i in ids) for ids in found)
        return TextFound(self.name, vector.about, vector.round, texts_found, rank, hidden)


def _stepped(observed: Observed, weights: np.ndarray, texts: list[tuple[int, ...]]) -> np.ndarray:
    """The weights (P,) after one local step on the texts, by the run's own rules."""
    model = observed.model
    model.vector[:] = weights
    ids = np.array(texts)
    arguments = observed.training | {"epochs": 1, "batch_size": len(texts)}
    strategy = STRATEGIES.load(observed.plan.strategy["name"])(**arguments)
    update = strategy.local_update(model, Arrays(ids[:, :-1], ids[:, 1:]), {}, np.random.default_rng(0))
    return weights + update.vectors["delta"]
