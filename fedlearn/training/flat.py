"""A model as local training sees it: one vector of weights, or one for each of several clients side by side.

Ops work on trailing axes, so that the layers do not know whether an axis of clients stands before their own. A step
of a hundred small models takes little longer side by side than a few of them one after the other, and gives each
the same bits as alone: every product is the same call to BLAS, every sum runs over the same numbers in one order.
"""

from __future__ import annotations

import copy
from math import prod

import numpy as np

from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Model, flat_gradient
from fedlearn.nn.stackable import unstackable

CHOICES = ("auto", "on", "off")
STACKED_WEIGHTS = 1 << 18  # in all copies of a stack: more no longer stay in the cache
FEWEST = 4  # copies in a stack: fewer gain nothing


class FlatModel:
    """A copy of `model` whose parameters are views of `vector`, float32 (P,); with `copies` K of them, (K, P).

    As `Model` itself, but what is asked in every step, where its parameters are, has been found out once.
    """

    def __init__(self, model: Model, copies: int | None = None):
        self.model = copy.deepcopy(model)
        self._parameters = list(self.model.parameters())
        self._shapes = [parameter.shape for parameter in self._parameters]
        self.copies = copies
        vector = np.concatenate([parameter.numpy().ravel() for parameter in self._parameters])
        self._hold(vector if copies is None else np.tile(vector, (copies, 1)))

    def load(self, weights: np.ndarray) -> None:
        """Have the model, or every copy, hold these weights, float32 (P,)."""
        self.vector[...] = weights

    def gradient(self, batch: Examples) -> tuple[np.ndarray, np.ndarray]:
        return flat_gradient(self.model, self._parameters, batch)

    def _hold(self, vector: np.ndarray) -> None:
        """Make the parameters views of `vector`."""
        self.vector = vector
        start = 0
        for parameter, shape in zip(self._parameters, self._shapes, strict=True):
            stop = start + prod(shape)
            parameter._data = vector[..., start:stop].reshape((*vector.shape[:-1], *shape))
            start = stop


def check_stack(model: Model, choice: str) -> None:
    """Raise `BadInput` for an unknown choice, and for "on" where a part of the model cannot be stacked."""
    if choice not in CHOICES:
        raise BadInput(f"stack is {choice!r}: choose one of {', '.join(CHOICES)}")
    other = unstackable(model)
    if choice == "on" and other:
        raise BadInput(f"a model made of {', '.join(other)} cannot be stacked: choose --stack auto")


def stack_size(model: Model, choice: str) -> int:
    """How many copies of `model` to train side by side; 1 for one by one.

    choice: "auto" stacks where it is quicker, which is for models of at most `STACKED_WEIGHTS / FEWEST` weights;
    "on" and "off" force either. Raises `BadInput` as `check_stack` does.
    """
    check_stack(model, choice)
    if choice == "off" or unstackable(model):
        return 1
    fitting = STACKED_WEIGHTS // model.vector.size
    return fitting if fitting >= FEWEST else FEWEST if choice == "on" else 1
