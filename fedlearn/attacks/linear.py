"""Inputs read off the gradient of a first linear layer.

Of neuron j, the weight's gradient is the sum over examples of error times input, the bias's that of the errors. One
example: their quotient is the input, exactly (Phong et al. 2018, section 3). Several, under ReLU: a neuron that only
one of them drives gives that one; a neuron driven by more gives a mixture. Two neurons with the same quotient were
driven by one and the same example: mixtures would agree only by accident, so that pairs are confirmed inputs and
single quotients are not. It needs a linear first layer with a bias, one local step, and batches far below the width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.protocol import PartyView

SILENT = 1e-2  # of the largest bias gradient: neurons below are driven by nobody, or too little to divide by


@dataclass(frozen=True, eq=False)
class InputsFound(Finding):
    """Inputs (n, features) that drove at least two neurons alone, and quotients (m, features) that may be mixtures."""

    inputs: np.ndarray
    unconfirmed: np.ndarray

    def told(self) -> str:
        return f"{len(self.inputs)} inputs of {self.inputs.shape[1]} numbers, {len(self.unconfirmed)} unconfirmed"


@dataclass(frozen=True)
class LinearInversion:
    """A finding for each plain update and each opened sum, of a model whose first layer is linear.

    tolerance: the largest difference between two quotients that are the same input.
    """

    tolerance: float = 1e-4

    name: ClassVar[str] = "linear"

    def run(self, view: PartyView) -> list[InputsFound]:
        observed = Observed(view)
        return [self.read(observed, vector) for vector in observed.readable()]

    def read(self, observed: Observed, vector: Vector) -> InputsFound:
        """The inputs in one vector, taken as the gradient of one step."""
        names = [name for name, _ in observed.model.named_parameters()]
        shapes = [parameter.shape for _, parameter in observed.model.named_parameters()]
        if len(names) < 2 or len(shapes[0]) != 2 or shapes[1] != shapes[0][:1]:
            raise NotReadable(
                "the run's model does not begin with a linear layer with a bias: this attack divides them"
            )
        delta = observed.segment(vector, "delta").astype(np.float64)
        weight, bias = observed.part(delta, names[0]), observed.part(delta, names[1])
        inputs, unconfirmed = invert_linear(weight, bias, self.tolerance)
        return InputsFound(self.name, vector.about, vector.round, inputs, unconfirmed)


def invert_linear(weight: np.ndarray, bias: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of weight (width, features) and bias (width,) -> inputs that two neurons agree on, and other quotients.

    Quotients are compared by their largest difference; equal ones are averaged with the squares of their bias
    gradients as weights, which is what rounding asks for.
    """
    loud = np.flatnonzero(np.abs(bias) > SILENT * np.abs(bias).max(initial=0.0))
    loud = loud[np.argsort(-np.abs(bias[loud]))]
    quotients = weight[loud] / bias[loud, None]
    weights = bias[loud] ** 2
    agreed: list[np.ndarray] = []
    alone: list[np.ndarray] = []
    left = np.arange(len(loud))
    while left.size:
        same = np.abs(quotients[left] - quotients[left[0]]).max(axis=1) <= tolerance
        group = left[same]
        mean = weights[group] @ quotients[group] / weights[group].sum()
        (agreed if len(group) > 1 else alone).append(mean)
        left = left[~same]
    return np.array(agreed).reshape(-1, weight.shape[1]), np.array(alone).reshape(-1, weight.shape[1])
