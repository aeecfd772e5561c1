"""Inputs found by trying: search for those whose gradient is the one that was seen.

Deep leakage from gradients (Zhu et al. 2019) minimises the squared distance of the two gradients over inputs and
soft labels; with labels known it is iDLG's search (Zhao et al. 2020); the cosine distance with a penalty on total
variation is Geiping et al.'s (2020). Each step differentiates a gradient, which the engine does to any order. L-BFGS
is SciPy's (extra `attacks`). It needs one local step, smooth activations (ReLU has no second derivative to follow)
for exactness, and small batches; where it fails it ends in noise, and the distance left over says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlearn import nn
from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.labels import LabelCounts
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.autograd import Tensor, grad
from fedlearn.errors import BadInput
from fedlearn.nn import functional as F
from fedlearn.protocol import PartyView

METHODS = ("dlg", "idlg", "cosine")


@dataclass(frozen=True, eq=False)
class MatchFound(Finding):
    """inputs float64 (examples, features); distance: of its gradient from the seen one, of whose length 1 is all."""

    inputs: np.ndarray
    distance: float

    def told(self) -> str:
        return f"{len(self.inputs)} inputs whose gradient is off by {self.distance:.1e} of its length"


@dataclass(frozen=True)
class GradientMatching:
    """A finding for each plain update of a model of classes: dense inputs in [0, 1].

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
        if self.method not in METHODS:
            raise BadInput(f"matching method {self.method!r}: choose one of {', '.join(METHODS)}")

    def run(self, view: PartyView) -> list[MatchFound]:
        observed = Observed(view)
        return [self.read(observed, vector) for vector in observed.readable()]

    def read(self, observed: Observed, vector: Vector) -> MatchFound:
        """The inputs in one vector, taken as the gradient of one step."""
        if "lr" not in observed.training or not hasattr(observed.model, "features"):
            raise NotReadable("the run's model has no dense `features` to search for, or its training no learning rate")
        search = _Search(self, observed, vector)
        rng = np.random.default_rng(self.seed)
        found = [search.from_start(rng) for _ in range(self.restarts)]
        inputs, distance = min(found, key=lambda pair: pair[1])
        return MatchFound(self.name, vector.about, vector.round, inputs, distance)


class _Search:
    def __init__(self, attack: GradientMatching, observed: Observed, vector: Vector):
        self.attack = attack
        self.model: Any = nn.build(observed.plan.model)
        self.model.vector[:] = observed.weights[vector.round]
        self.model.double()
        seen = -observed.mean(vector) / observed.training["lr"]
        self.parameters = list(self.model.parameters())
        cuts = np.cumsum([p.size for p in self.parameters])[:-1]
        self.seen = [g.reshape(p.shape) for g, p in zip(np.split(seen, cuts), self.parameters, strict=True)]
        self.length = float(np.sqrt(sum(np.sum(g * g) for g in self.seen)))
        self.examples = observed.examples(vector)
        self.shape = (self.examples, int(self.model.features))
        counts = LabelCounts().read(observed, vector).counts
        self.labels = np.repeat(np.arange(len(counts)), counts)
        self.classes = len(counts)

    def from_start(self, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Where the search ends from a random beginning, and how far off the gradient is there."""
        try:
            from scipy.optimize import minimize
        except ImportError:
            raise BadInput("gradient matching needs SciPy: pip install 'fedlearn[attacks]'") from None
        free = self.attack.method == "dlg"
        start = rng.random(self.shape)
        if free:
            start = np.concatenate([start, rng.normal(size=(self.examples, self.classes))], axis=1)
        options = {"maxiter": self.attack.iterations, "maxcor": 50, "maxfun": 2 * self.attack.iterations,
                   "ftol": 0.0, "gtol": 0.0}  # fmt: skip
        done = minimize(self._objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
        point = done.x.reshape(self.examples, -1)[:, : self.shape[1]]
        return point, float(np.sqrt(max(0.0, self._squared(Tensor(done.x.reshape(self.examples, -1))).item())))

    def _objective(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = Tensor(flat.reshape(self.examples, -1), requires_grad=True)
        value = self._cosine(point) if self.attack.method == "cosine" else self._squared(point)
        (slope,) = grad(value, [point])
        return value.item(), slope.numpy().ravel().astype(np.float64)

    def _gradients(self, point: Tensor) -> tuple[Tensor, ...]:
        logits = self.model(point[:, : self.shape[1]])
        logp = F.log_softmax(logits, dim=-1)
        if point.shape[1] > self.shape[1]:
            target = F.softmax(point[:, self.shape[1] :], dim=-1)
        else:
            target = np.eye(self.classes)[self.labels]
        loss = -(target * logp).sum() / self.examples
        return grad(loss, self.parameters, create_graph=True)

    def _squared(self, point: Tensor) -> Tensor:
        """The squared distance of the gradients, of the seen one's squared length."""
        parts = [((g - seen) ** 2).sum() for g, seen in zip(self._gradients(point), self.seen, strict=True)]
        return _added(parts) / self.length**2

    def _cosine(self, point: Tensor) -> Tensor:
        mine = self._gradients(point)
        inner = _added([(g * seen).sum() for g, seen in zip(mine, self.seen, strict=True)])
        length = _added([(g * g).sum() for g in mine]) ** 0.5
        side = round(self.shape[1] ** 0.5)
        image = point.reshape(-1, side, side)
        rough = ((image[:, 1:] - image[:, :-1]) ** 2).sum() + ((image[:, :, 1:] - image[:, :, :-1]) ** 2).sum()
        return 1.0 - inner / (length * self.length) + rough * (self.attack.variation / image.size)


def _added(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
