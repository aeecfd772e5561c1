"""How far a gradient is from the one that was seen: what every search for inputs descends on, and the descents.

The distances differentiate gradients, which the engine does to any order. L-BFGS is SciPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from fedlearn import nn
from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.replay import mean_gradient
from fedlearn.autograd import Tensor, grad
from fedlearn.errors import BadInput
from fedlearn.registry import importing_nothing

Objective = Callable[[Tensor], Tensor]  # from a point (n,) to a number that is 0 at the inputs searched for
SMOOTH = 1e-12  # under the root that stands for an absolute value, of the size of the seen gradient


def check_method(method: str, known: Sequence[str]) -> None:
    """Raise `BadInput` for the name of a search that is not known."""
    if method not in known:
        raise BadInput(f"matching method {method!r}: choose one of {', '.join(known)}")


class Seen:
    """The gradient in a vector of a transcript, and the public model that it was taken from, in float64.

    Distances are of parameters' gradients, in the order of the model's, and 1 for a gradient of 0.
    """

    def __init__(self, observed: Observed, vector: Vector):
        with importing_nothing():  # the plan is a file of others
            self.model: Any = nn.build_of_others(observed.plan.model, len(observed.layout)).eval()
        self.model.vector[:] = observed.weights[vector.round]
        self.model.double()
        self.parameters = list(self.model.parameters())
        self.gradient = mean_gradient(observed, vector)
        cuts = np.cumsum([p.size for p in self.parameters])[:-1]
        self.parts = [g.reshape(p.shape) for g, p in zip(np.split(self.gradient, cuts), self.parameters, strict=True)]
        self.length = float(np.linalg.norm(self.gradient))
        if self.length == 0:
            raise NotReadable("no weight moved: there is no gradient to match")

    def gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        """The gradient of a loss, one part a parameter, which can be differentiated again."""
        return grad(loss, self.parameters, create_graph=True)

    def squared(self, mine: Sequence[Tensor]) -> Tensor:
        """The squared distance, of the seen one's squared length (Zhu et al. 2019)."""
        found: Tensor = (
            _total(((g - seen) ** 2).sum() for g, seen in zip(mine, self.parts, strict=True)) / self.length**2
        )
        return found

    def absolute(self, mine: Sequence[Tensor]) -> Tensor:
        """The sum of absolute differences, of the seen one's absolute values (in TAG, Deng et al. 2021)."""
        least = SMOOTH * self.length**2 / self.gradient.size
        parts = (((g - seen) ** 2 + least) ** 0.5 for g, seen in zip(mine, self.parts, strict=True))
        found: Tensor = _total(part.sum() for part in parts) / float(np.abs(self.gradient).sum())
        return found

    def cosine(self, mine: Sequence[Tensor]) -> Tensor:
        """One less the cosine of the angle (Geiping et al. 2020)."""
        inner = _total((g * seen).sum() for g, seen in zip(mine, self.parts, strict=True))
        found: Tensor = 1.0 - inner / (_total((g * g).sum() for g in mine) ** 0.5 * self.length)
        return found


def lbfgs(objective: Objective, start: np.ndarray, iterations: int) -> np.ndarray:
    """Run L-BFGS for so many iterations from `start` (n,), and return its end."""
    from scipy.optimize import minimize

    options = {"maxiter": iterations, "maxcor": 50, "maxfun": 2 * iterations, "ftol": 0.0, "gtol": 0.0}
    ended: np.ndarray = minimize(_sloped(objective), start, jac=True, method="L-BFGS-B", options=options).x
    return ended


def adam(objective: Objective, start: np.ndarray, iterations: int, lr: float = 0.1) -> np.ndarray:
    """Run Adam, its rate falling to a tenth, and return its end: for kinks, which L-BFGS does not follow."""
    from fedlearn.optim import Adam

    point = nn.Parameter(start.copy())
    optimizer = Adam([point], lr=lr)
    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = lr * (1 - 0.9 * iteration / iterations)
        optimizer.zero_grad()
        objective(point).backward()
        optimizer.step()
    return point.numpy()


def _sloped(objective: Objective) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The objective with its slope, on arrays."""

    def both(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = Tensor(flat, requires_grad=True)
        value = objective(point)
        (slope,) = grad(value, [point])
        return value.item(), slope.numpy()

    return both


def _total(parts: Any) -> Tensor:
    total: Tensor = reduce(add, parts)
    return total
