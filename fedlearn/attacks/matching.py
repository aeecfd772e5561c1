"""Inputs found by trying: search for those whose gradient is the one that was seen.

Deep leakage from gradients (Zhu et al. 2019) minimises the squared distance of the two gradients over inputs and
soft labels; with labels known it is iDLG's search (Zhao et al. 2020); the cosine distance with a penalty on total
variation is Geiping et al.'s (2020). It needs one local step, smooth activations (ReLU has no second derivative to
follow) for exactness, and small batches; where it fails it ends in noise, and the distance left over says so. For
text see `matching_text`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.labels import LabelCounts, dense_features
from fedlearn.attacks.objective import Seen, check_method, lbfgs
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.autograd import Tensor
from fedlearn.nn import functional as F
from fedlearn.wording import many

METHODS = ("dlg", "idlg", "cosine")


@dataclass(frozen=True, eq=False)
class MatchFound(Finding):
    """Inputs, float64 (examples, features), whose gradient is near the seen one.

    distance: of their gradient from the seen one, as a share of its length.
    """

    inputs: np.ndarray
    distance: float

    def summary(self) -> str:
        return f"{many(len(self.inputs), 'input')} whose gradient is off by {self.distance:.1e} of its length"


@dataclass(frozen=True)
class GradientMatching(EachVector[MatchFound]):
    """A finding for each plain update and each opened sum, of a model of classes: dense inputs in [0, 1].

    method      dlg, idlg or cosine, see above
    iterations  of L-BFGS, for each of `restarts` random beginnings, of which the best is kept
    variation   weight of the total variation of square images, for the cosine distance
    """

    method: str = "dlg"
    iterations: int = 200
    restarts: int = 3
    variation: float = 1e-3
    seed: int = 0

    name: ClassVar[str] = "matching"

    def __post_init__(self) -> None:
        check_method(self.method, METHODS)

    def read(self, observed: Observed, vector: Vector) -> MatchFound:
        """The inputs in one vector, taken as the gradient of one step."""
        features = dense_features(observed)
        if features is None:
            raise NotReadable("the run's model has no dense inputs to search for: of characters, see matching_text")
        search = _Search(self, observed, vector, features)
        rng = np.random.default_rng(self.seed)
        found = [search.from_start(rng) for _ in range(self.restarts)]
        inputs, distance = min(found, key=lambda pair: (np.isnan(pair[1]), pair[1]))
        return MatchFound(self.name, vector.about, vector.round, inputs, distance)


class _Search:
    def __init__(self, attack: GradientMatching, observed: Observed, vector: Vector, features: int):
        self.attack = attack
        self.seen = Seen(observed, vector)
        self.examples = observed.examples(vector)
        self.features = features
        counts = LabelCounts().read(observed, vector).counts
        self.labels = np.repeat(np.arange(len(counts)), counts)
        self.classes = len(counts)

    def from_start(self, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Search from a random beginning; return where it ends, and how far off the gradient is there."""
        start = rng.random((self.examples, self.features))
        if self.attack.method == "dlg":
            start = np.concatenate([start, rng.normal(size=(self.examples, self.classes))], axis=1)
        objective = self._rough_cosine if self.attack.method == "cosine" else self._squared
        ended = lbfgs(objective, start.ravel(), self.attack.iterations)
        inputs = ended.reshape(self.examples, -1)[:, : self.features]
        return inputs, float(np.sqrt(max(0.0, self._squared(Tensor(ended)).item())))

    def _gradients(self, point: Tensor) -> tuple[Tensor, ...]:
        """Of the inputs in a point, and of the soft labels that follow each where they are not known."""
        rows = point.reshape(self.examples, -1)
        logp = F.log_softmax(self.seen.model(rows[:, : self.features]), dim=-1)
        known = rows.shape[1] == self.features
        target = np.eye(self.classes)[self.labels] if known else F.softmax(rows[:, self.features :], dim=-1)
        return self.seen.gradients(-(target * logp).sum() / self.examples)

    def _squared(self, point: Tensor) -> Tensor:
        return self.seen.squared(self._gradients(point))

    def _rough_cosine(self, point: Tensor) -> Tensor:
        side = round(self.features**0.5)
        image = point.reshape(-1, side, side)
        rough = ((image[:, 1:] - image[:, :-1]) ** 2).sum() + ((image[:, :, 1:] - image[:, :, :-1]) ** 2).sum()
        found: Tensor = self.seen.cosine(self._gradients(point)) + rough * (self.attack.variation / image.size)
        return found
