"""Local training taken again by the run's own public rules, with the gradients that the attacker knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.datasets.examples import Arrays, Examples


class _Scripted:
    """A model of given weights whose first gradients are known, and whose later ones are zero.

    met: the weights with which the first unknown gradient was asked for.
    """

    def __init__(self, weights: np.ndarray, gradients: Sequence[np.ndarray]):
        self.vector = weights.flatten()
        self.met = self.vector
        self._known = list(gradients)
        self._asked = 0

    def gradient(self, batch: Examples) -> tuple[np.ndarray, np.ndarray]:
        if self._asked == len(self._known):
            self.met = self.vector.copy()
        known = self._known[self._asked].copy() if self._asked < len(self._known) else np.zeros_like(self.vector)
        self._asked += 1
        return np.zeros((), np.float32), known


def coasted(
    observed: Observed, vector: Vector, weights: np.ndarray, gradients: Sequence[np.ndarray] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Where a client's local training leads that has these gradients first, and after them none.

    weights: those that it begins with, the model's or a part of them. Momentum, weight decay and whatever else the
    rules do go on to the end. Returns the weights that met the first unknown gradient, and the delta, both flat.
    """
    examples = round(observed.examples(vector) / vector.addends)
    model = _Scripted(weights, gradients)
    nothing = Arrays(np.zeros(examples), np.zeros(examples))
    update = observed.strategy.local_update(model, nothing, {}, np.random.default_rng(0))
    return model.met, update.vectors["delta"]


def unexplained(
    observed: Observed, vector: Vector, gradients: Sequence[np.ndarray] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """What local training did beyond its own rules, as weight decay, and these gradients of its first steps.

    Returns the weights (P,) that met the step after those, and the rest (P,) float64, in the codec's integers: a sum of
    gradients, each times a negative number. Raises `NotReadable` where a delta is none.
    """
    optimizer = observed.strategy.arguments().get("optimizer", "sgd")
    if optimizer != "sgd":
        raise NotReadable(f"local training is by {optimizer}, whose steps are no sums of gradients: this reads those")
    met, known = coasted(observed, vector, observed.weights[vector.round], gradients)
    return met, (observed.mean(vector) - known) * _integers(observed, vector)


def mean_gradient(observed: Observed, vector: Vector) -> np.ndarray:
    """The mean gradient (P,) float64 of the local steps behind a vector: exact of one step.

    It is what is unexplained, divided by what the rules make of a gradient of 1 in every step.
    """
    _, rest = unexplained(observed, vector)
    ones = [np.ones(1, np.float32)] * observed.steps(vector)
    _, gain = coasted(observed, vector, np.zeros(1, np.float32), ones)
    return rest / (float(gain[0]) * _integers(observed, vector))


def _integers(observed: Observed, vector: Vector) -> float:
    """How many of the codec's integers make 1 of the mean."""
    return observed.examples(vector) / (observed.layout.max_weight * observed.step)
