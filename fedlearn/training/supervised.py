"""A training step of a module and a loss of its own: backward passes, recorded where both say `replayable`.

The first step of a shape runs on the tape, and shows which parameters have a gradient at all. Later ones run from the
record (`fedlearn.training.recorded`) and leave the same bits in `.grad`; where they cannot, the tape goes on.
"""

from __future__ import annotations

import numpy as np

from fedlearn.autograd.tensor import Tensor, wrap
from fedlearn.datasets.examples import Examples
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter
from fedlearn.nn.stackable import unreplayable
from fedlearn.training.recorded import Batch, Recorded


class Supervised:
    """Steps of `model` by `loss`, a module that takes what the model gives and the targets, and gives one number."""

    vocabulary = None  # as of a `Model` without one

    def __init__(self, model: Module, loss: Module):
        self._model, self._criterion = model, loss
        self._parameters = list(model.parameters())
        self._reached: list[tuple[Parameter, int]] = []  # those that have a gradient, and their numbers
        own = not any(True for _ in loss.parameters()) and len({p.dtype for p in self._parameters}) == 1
        self._replays = own and not unreplayable(model) and not unreplayable(loss)
        self._arrays: list[np.ndarray] = []  # the parameters', as they are recorded
        self._recorded: Recorded | None = None

    @property
    def recorded_bytes(self) -> int:
        """How much memory the recorded steps keep; 0 where the tape takes them all."""
        return self._recorded.bytes if self._recorded is not None else 0

    def loss(self, batch: Examples) -> Tensor:
        found: Tensor = self._criterion(self._model(*batch.inputs), batch.targets)
        return found

    def backward(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """The loss of a batch; adds its gradient to `.grad` of every parameter that it depends on."""
        batch = Batch((inputs,), targets, len(targets))
        if self._recorded is not None and all([p._grad is None for p in self._parameters]):
            found = self._recorded.gradient(batch)
            if found is not None:
                parts = self._recorded.parts(found[1])
                for parameter, number in self._reached:
                    parameter._grad = wrap(parts[number])
                return float(found[0])
        value = self.loss(batch)
        value.backward()
        self._record()
        return float(value.item())

    def _record(self) -> None:
        """Begin a record of the steps to come, unless there is one of the arrays that the parameters have now."""
        self._reached = [(p, number) for number, p in enumerate(self._parameters) if p._grad is not None]
        if self._replays and [id(p._data) for p in self._parameters] != [id(array) for array in self._arrays]:
            self._arrays = [p._data for p in self._parameters]
            room = np.empty(sum(array.size for array in self._arrays), self._arrays[0].dtype)
            modules = (*self._model.modules(), *self._criterion.modules())
            self._recorded = Recorded(self, self._parameters, room, modules)
