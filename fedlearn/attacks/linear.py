"""Inputs read off the gradient of a first linear layer.

Of neuron j, the weight's gradient is the sum over examples of error times input, the bias's that of the errors. One
example: their quotient is the input, exactly (Phong et al. 2018, section 3). Several, under ReLU: a neuron that only
one of them drives gives that one; a neuron driven by more gives a mixture. Two neurons with the same quotient were
driven by one and the same example, or by two with nearly parallel errors, as of one class: but then the mixture lies
between inputs that other neurons give, and is left out. It needs a linear first layer with a bias, one local step, and
batches far below the width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.replay import unexplained
from fedlearn.wording import many

LOUD = 1e3  # times rounding: a bias gradient that is large enough to divide by
AGREED = 4.0  # standard deviations of rounding by which two quotients of one input may differ
BETWEEN = 1e-3  # how far an input may be from a mixture of others, and that from one without negative shares


@dataclass(frozen=True, eq=False)
class InputsFound(Finding):
    """Inputs (n, features) that drove at least two neurons alone, and quotients (m, features) that may be mixtures."""

    inputs: np.ndarray
    unconfirmed: np.ndarray

    def summary(self) -> str:
        return (
            f"{many(len(self.inputs), 'input')} of {many(self.inputs.shape[1], 'number')}, {len(self.unconfirmed)} "
            "unconfirmed"
        )


@dataclass(frozen=True)
class LinearInversion(EachVector[InputsFound]):
    """A finding for each plain update and each opened sum, of a model whose first layer is linear."""

    name: ClassVar[str] = "linear"

    def read(self, observed: Observed, vector: Vector) -> InputsFound:
        """The inputs in one vector, taken as the gradient of one step."""
        names = [name for name, _ in observed.model.named_parameters()]
        shapes = [parameter.shape for _, parameter in observed.model.named_parameters()]
        if len(names) < 2 or len(shapes[0]) != 2 or shapes[1] != shapes[0][:1]:
            raise NotReadable(
                "the run's model does not begin with a linear layer with a bias: this attack divides them"
            )
        _, rest = unexplained(observed, vector)
        weight, bias = observed.part(rest, names[0]), observed.part(rest, names[1])
        inputs, unconfirmed = invert_linear(weight, bias, observed.rounding(vector, names[0]))
        return InputsFound(self.name, vector.about, vector.round, inputs, unconfirmed)


def invert_linear(weight: np.ndarray, bias: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of weight (width, features) and bias (width,) -> inputs that two neurons agree on, and other quotients.

    noise: standard deviation of the rounding of one number of the gradients. Quotients that are equal but for it are
    averaged with the squares of their bias gradients as weights, which is what rounding asks for.
    """
    loud = np.flatnonzero(np.abs(bias) > LOUD * noise)
    loud = loud[np.argsort(-np.abs(bias[loud]))]
    quotients = weight[loud] / bias[loud, None]
    weights = bias[loud] ** 2
    spread = noise**2 * (1.0 + np.square(quotients).max(axis=1, initial=0.0)) / weights
    agreed: list[np.ndarray] = []
    alone: list[np.ndarray] = []
    left = np.arange(len(loud))
    while left.size:
        allowed = AGREED * np.sqrt(spread[left] + spread[left[0]])
        same = np.abs(quotients[left] - quotients[left[0]]).max(axis=1) <= allowed
        group = left[same]
        mean = weights[group] @ quotients[group] / weights[group].sum()
        (agreed if len(group) > 1 else alone).append(mean)
        left = left[~same]
    inputs = np.array(agreed).reshape(-1, weight.shape[1])
    mixed = np.array([_is_between(i, inputs) for i in range(len(inputs))], bool)
    return inputs[~mixed], np.concatenate([inputs[mixed], np.array(alone).reshape(-1, weight.shape[1])])


def _is_between(which: int, inputs: np.ndarray) -> bool:
    """True if an input is a mean of others, with shares that are not negative."""
    others = np.delete(inputs, which, axis=0)
    if not 1 < len(others) < inputs.shape[1]:
        return False
    shares = np.linalg.lstsq(others.T, inputs[which], rcond=BETWEEN)[0]
    off = np.abs(shares @ others - inputs[which]).max()
    return bool(off <= BETWEEN and shares.min() >= -BETWEEN and abs(shares.sum() - 1.0) <= BETWEEN)
