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
    """Replay local training with the given gradients in the first steps and zero gradients after them.

    weights: the weights at the start, the whole model's or a part of them. Momentum, weight decay and the other rules
    act in every step. Returns the weights before the first unknown gradient, and the delta, both flat.
    """
    examples = round(observed.examples(vector) / vector.addends)
    model = _Scripted(weights, gradients)
    nothing = Arrays(np.zeros(examples), np.zeros(examples))
    update = observed.strategy.local_update(model, nothing, {}, np.random.default_rng(0))
    return model.met, update.vectors["delta"]


def unexplained(
    observed: Observed, vector: Vector, gradients: Sequence[np.ndarray] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """The part of the update that weight decay, momentum and the known first gradients do not explain.

    Returns the weights (P,) before the first unknown gradient, and that part (P,) float64, in the codec's integers: a
    sum of gradients, each times a negative number. Raises `NotReadable` if the optimizer's steps are not such sums.
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
    return observed.examples(vector) / (observed.layout.max_weight * observed.unit(vector))
