"""A model as local training sees it: one vector of weights, or one for each of several clients side by side.

Ops work on trailing axes, so that the layers do not know whether an axis of clients stands before their own. A step
of a hundred small models takes little longer side by side than a few of them one after the other, and gives each
the same bits as alone: every product is the same call to BLAS, every sum runs over the same numbers in one order.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from math import prod

import numpy as np

from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models.base import Model, flat_gradient
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter
from fedlearn.nn.stackable import unreplayable, unstackable
from fedlearn.training.recorded import Recorded

CHOICES = ("auto", "on", "off")
STACKED_WEIGHTS = 1 << 18  # in all copies of a stack: more no longer stay in the cache
FEWEST = 4  # copies in a stack: fewer gain nothing


class FlatModel:
    """A copy of `model` whose parameters are views of `vector`, float32 (P,); with `copies` K of them, (K, P).

    Same as `Model`, but it looks its parameters up once instead of in every step. Frozen parameters, which want no
    gradient, have the gradient 0; whatever a step does to them is undone before the next one.

    given_up: whether nobody else needs `model`, so that it is used itself in the place of a copy.
    frozen: which weights these are, bool (P,), or None if there are none.
    """

    def __init__(self, model: Model, copies: int | None = None, given_up: bool = False):
        self.model = model if given_up else copy.deepcopy(model)
        self._parameters = list(self.model.parameters())
        self._shapes = [parameter.shape for parameter in self._parameters]
        self._own_gradient = type(model).gradient is not Model.gradient
        self._replays = not self._own_gradient and not unreplayable(model)
        self.copies = copies
        vector = np.concatenate([parameter.numpy().ravel() for parameter in self._parameters])
        self._hold(vector if copies is None else np.broadcast_to(vector, (copies, len(vector))).copy())

    def load(self, weights: np.ndarray) -> None:
        """Have the model, or every copy, hold these weights, float32 (P,)."""
        self.vector[...] = weights
        self._note_frozen()

    def gradient(self, batch: Examples) -> tuple[np.ndarray, np.ndarray]:
        self.restore_frozen()
        if not self._own_gradient:
            replayed = self._recorded.gradient(batch) if self._recorded is not None else None
            return replayed or flat_gradient(self.model, self._parameters, batch)
        loss, gradient = (np.asarray(part, np.float32) for part in self.model.gradient(batch))
        if gradient.shape != self.vector.shape:
            raise ShapeError(
                f"{type(self.model).__name__}.gradient gives an array {gradient.shape}, "
                f"the model's weights are {self.vector.shape}: give a number for each weight"
            )
        return loss, gradient if self.frozen is None else np.where(self.frozen, np.float32(0), gradient)

    def restore_frozen(self) -> None:
        """Give frozen weights the values that were loaded."""
        if self.frozen is not None:
            self.vector[..., self.frozen] = self._kept

    def _hold(self, vector: np.ndarray) -> None:
        """Make the parameters views of `vector`."""
        self.vector = vector
        start = 0
        for parameter, shape in zip(self._parameters, self._shapes, strict=True):
            stop = start + prod(shape)
            parameter._data = vector[..., start:stop].reshape((*vector.shape[:-1], *shape))
            start = stop
        self.frozen = _mask(self._parameters, self._shapes)
        self._note_frozen()
        self._recorded = Recorded(self.model, self._parameters, vector, self.model.modules()) if self._replays else None

    def _note_frozen(self) -> None:
        if self.frozen is not None:
            self._kept = self.vector[..., self.frozen]


def weights_in(model: Module) -> int:
    """How many numbers its parameters hold: the length of `model.vector`, without a look at them."""
    return sum(parameter.size for parameter in model.parameters())


def frozen_weights(model: Model) -> np.ndarray | None:
    """Which of the model's weights want no gradient, bool (P,); None where all of them want one."""
    parameters = list(model.parameters())
    return _mask(parameters, [parameter.shape for parameter in parameters])


def _mask(parameters: Sequence[Parameter], shapes: Sequence[tuple[int, ...]]) -> np.ndarray | None:
    if all(parameter.requires_grad for parameter in parameters):
        return None
    still = [np.full(prod(shape), not p.requires_grad) for p, shape in zip(parameters, shapes, strict=True)]
    return np.concatenate(still)


def check_stack(model: Model, choice: str) -> None:
    """Raise `BadInput` for an unknown choice, and for "on" where a part of the model cannot be stacked."""
    if choice not in CHOICES:
        raise BadInput(f"stack is {choice!r}: choose one of {', '.join(CHOICES)}")
    other = unstackable(model)
    if choice == "on" and other:
        raise BadInput(f"stack is on, and a model made of {', '.join(other)} cannot be stacked: choose auto")


def stack_size(model: Model, choice: str) -> int:
    """How many copies of `model` to train side by side; 1 for one by one.

    choice: "auto" stacks where it is quicker, which is for models of at most `STACKED_WEIGHTS / FEWEST` weights;
    "on" and "off" force either. Raises `BadInput` as `check_stack` does.
    """
    check_stack(model, choice)
    if choice == "off" or unstackable(model):
        return 1
    fitting = STACKED_WEIGHTS // weights_in(model)
    return fitting if fitting >= FEWEST else FEWEST if choice == "on" else 1
