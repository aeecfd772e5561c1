"""How many examples of each class stood behind an update, from the bias of the last layer.

Under cross-entropy the bias's gradient is the mean of p - y, softmax or sigmoid output less truth. The outputs p are
nearly those of the public model on any inputs, so y is what is left (iDLG, Zhao et al. 2020, for one example; Wainakh
et al. 2022 for batches). One example's label is exact: it is the only class with a negative gradient. It needs
SGD, and a model that sees a whole example at once, numbers or a bag of words; over several local steps p moves, and
the counts blur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlearn import nn
from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.changed_rows import EMBEDDINGS
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.replay import mean_gradient

GUESSES = 256  # random inputs by which the public model's usual output is told
WORDS = 16  # of a message among them


@dataclass(frozen=True, eq=False)
class LabelsFound(Finding):
    """How many examples of each class stood behind an update. counts: by class."""

    counts: tuple[int, ...]

    def summary(self) -> str:
        return ", ".join(f"class {label}: {count}" for label, count in enumerate(self.counts) if count)


@dataclass(frozen=True)
class LabelCounts(EachVector[LabelsFound]):
    """A finding for each plain update and each opened sum, of a model of classes; a lone output has two."""

    name: ClassVar[str] = "labels"

    def read(self, observed: Observed, vector: Vector) -> LabelsFound:
        """The counts in one vector, taken as the gradient of one step."""
        names = [name for name, parameter in observed.model.named_parameters() if parameter.ndim == 1]
        if not names:
            raise NotReadable("the run's model has no bias at its end, whose gradient counts labels")
        usual = _usual_output(observed, vector)
        gradient = observed.part(mean_gradient(observed, vector), names[-1])
        if gradient.size == 1:
            gradient = np.concatenate([-gradient, gradient])
        counts = label_counts(gradient, usual, observed.examples(vector))
        return LabelsFound(self.name, vector.about, vector.round, tuple(counts.tolist()))


def label_counts(gradient: np.ndarray, usual: np.ndarray, examples: int) -> np.ndarray:
    """Whole numbers (classes,) that sum to `examples` and lie nearest to n (p - gradient)."""
    if examples == 1:
        counts: np.ndarray = np.eye(len(gradient), dtype=int)[int(np.argmin(gradient))]
        return counts
    estimate = np.maximum(examples * (usual - gradient), 0.0)
    counts = np.floor(estimate).astype(int)
    for _ in range(examples - int(counts.sum())):
        counts[np.argmax(estimate - counts)] += 1
    for _ in range(int(counts.sum()) - examples):
        counts[np.argmin(np.where(counts > 0, estimate - counts, np.inf))] -= 1
    return counts


def _usual_output(observed: Observed, vector: Vector) -> np.ndarray:
    """The public model's mean output probabilities (classes,) on random inputs."""
    model: Any = observed.model
    model.vector[:] = observed.weights[vector.round]
    logits = model(*_guesses(observed)).numpy().astype(np.float64)
    if not np.isfinite(logits).all():
        raise NotReadable("the public model's outputs are no numbers: its weights are too large to tell labels by")
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = (p / p.sum(axis=1, keepdims=True)).mean(axis=0)
    return found


def _guesses(observed: Observed) -> tuple[np.ndarray, ...]:
    """Random inputs of the run's model: numbers in [0, 1], or bags of random words."""
    rng = np.random.default_rng(0)
    features = dense_features(observed)
    if features is not None:
        return (rng.random((GUESSES, features), np.float32),)
    bags = [module for module in observed.model.modules() if isinstance(module, nn.EmbeddingBag)]
    if not bags:
        raise NotReadable("the run's model reads text in order: this attack counts labels of dense inputs and of bags")
    words = rng.integers(len(bags[0].weight), size=GUESSES * WORDS, dtype=np.int32)
    return words, WORDS * np.arange(GUESSES)


def dense_features(observed: Observed) -> int | None:
    """How many numbers an example of the run's model has; None for a model of words or characters."""
    model: Any = observed.model
    first, weight = next(iter(model.named_parameters()))
    if hasattr(model, "features"):
        return int(model.features)
    if hasattr(model, "side"):
        return int(model.side) ** 2
    linear = weight.ndim == 2 and not first.endswith(EMBEDDINGS)
    return int(weight.shape[1]) if linear else None
