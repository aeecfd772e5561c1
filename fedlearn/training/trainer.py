"""`Trainer`: fit a model to arrays, with history, progress and early stopping."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlearn.autograd import no_grad
from fedlearn.autograd.memory import keep_freed
from fedlearn.checked import as_array, generator
from fedlearn.classes import names_a_class
from fedlearn.configured import whole_number
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.modes import in_use
from fedlearn.nn.module import Module
from fedlearn.optim import Optimizer
from fedlearn.training.counted import Counted
from fedlearn.training.supervised import Supervised
from fedlearn.wording import many


@dataclass
class Epoch:
    """Mean loss over one epoch (before each step), and after it on held-out data where there are some.

    A mean is per example, over the targets that count, as `Trainer.evaluate` has it.
    """

    number: int
    loss: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


@dataclass
class Epochs:
    """Losses and metrics per epoch, and the best epoch (the lowest held-out loss, else the lowest loss).

    recorded_bytes: memory that recorded steps kept at the end, 0 where the tape took them all (docs/engine.md).
    """

    epochs: list[Epoch] = field(default_factory=list)
    stopped_early: bool = False
    recorded_bytes: int = 0

    @property
    def best(self) -> Epoch:
        return min(self.epochs, key=_score)

    @property
    def losses(self) -> list[float]:
        return [epoch.loss for epoch in self.epochs]


class Trainer:
    """Trains `model` by mini-batches, each epoch in an order drawn from `rng` (None: fresh entropy)."""

    def __init__(self, model: Module, rng: np.random.Generator | None = None):
        if not isinstance(model, Module):
            raise BadInput(f"model is a {type(model).__name__}: give a fedlearn.nn.Module, as nn.Sequential(...)")
        self.model = model
        self.rng = generator(rng)

    def fit(
        self,
        data: np.ndarray,
        target: np.ndarray,
        batch_size: int,
        epochs: int,
        optimizer: Optimizer,
        loss: Module,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        patience: int | None = None,
        progress: bool = False,
    ) -> Epochs:
        """Train on data (N, ...) and target (N, ...) for at most `epochs`; returns what happened.

        `loss` gives one number a batch, the mean or the sum. With `patience`, training ends after that many epochs
        without a new best and the model goes back to its best numbers. `progress` shows a bar on standard error.
        """
        batch_size, epochs = whole_number("batch_size", batch_size, least=1), whole_number("epochs", epochs, least=1)
        patience = None if patience is None else whole_number("patience", patience, least=1)
        data, target = _pairs(data, target)
        if validation is not None:
            if not isinstance(validation, tuple | list) or len(validation) != 2:
                raise BadInput(f"validation is a {type(validation).__name__}: give held-out data and targets, a pair")
            validation = _pairs(*validation)
        self._check(optimizer)
        counted = Counted(loss, target)
        keep_freed()
        steps = Supervised(self.model, loss)
        history, best, waited = Epochs(), self.model.state_dict(), 0
        for number in _shown(range(1, epochs + 1), progress):
            epoch = Epoch(number, counted.mean(self._epoch(data, target, batch_size, optimizer, steps)))
            if validation is not None:
                epoch.validation_loss, epoch.validation_accuracy = self.evaluate(*validation, loss)
            history.epochs.append(epoch)
            if patience is None:
                continue
            better = history.best is epoch and _score(epoch) < math.inf  # what has diverged is no best
            waited = 0 if better else waited + 1
            if waited == 0:
                best = self.model.state_dict()
            elif waited >= patience:
                history.stopped_early = True
                break
        history.recorded_bytes = steps.recorded_bytes
        if patience is not None:
            self.model.load_state_dict(best)
        return history

    def evaluate(
        self, data: np.ndarray, target: np.ndarray, loss: Module, batch_size: int = 1024
    ) -> tuple[float, float | None]:
        """(mean loss, accuracy). The accuracy is None unless targets are whole and outputs (N, classes, ...).

        Both are over the targets that count: a target of the loss's `ignore_index` is in neither. The loss is the mean
        per example; where `loss` has weights of classes it is weighted, as if all were one batch. The model computes as
        in use, without dropout; its parts' modes stay. Raises `BadInput` if no target counts.
        """
        data, target = _pairs(data, target)
        batch_size = whole_number("batch_size", batch_size, least=1)
        counted = Counted(loss, target)
        losses: list[tuple[slice, float]] = []
        hits: list[np.ndarray] = []
        with in_use(self.model), no_grad():
            for start in range(0, len(data), batch_size):
                chosen = slice(start, start + batch_size)
                output = self.model(data[chosen])
                losses.append((chosen, loss(output, target[chosen]).item()))
                if target.dtype.kind in "iu" and output.ndim == target.ndim + 1:
                    outputs = output.numpy()
                    hits.append(names_a_class(outputs, 1) & (outputs.argmax(axis=1) == target[chosen]))
        return counted.mean(losses), counted.right(np.concatenate(hits)) if hits else None

    def _check(self, optimizer: Any) -> None:
        """Raise `BadInput` for what is no optimizer of this model."""
        if not isinstance(optimizer, Optimizer):
            raise BadInput(f"optimizer is a {type(optimizer).__name__}: give one, as optim.SGD(model.parameters())")
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if not any(id(p) in held for p in self.model.parameters()):
            raise BadInput("the optimizer holds none of this model's parameters: make it of model.parameters()")

    def _epoch(
        self, data: np.ndarray, target: np.ndarray, batch_size: int, optimizer: Optimizer, steps: Supervised
    ) -> Iterator[tuple[np.ndarray, float]]:
        """Step through all examples once; gives which were in each batch, and its loss before the step."""
        self.model.train()
        order = self.rng.permutation(len(data))
        for start in range(0, len(data), batch_size):
            chosen = order[start : start + batch_size]
            optimizer.zero_grad()
            value = steps.backward(data[chosen], target[chosen])
            optimizer.step()
            yield chosen, value


def _pairs(data: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; raises `ShapeError` unless there is one target for each of at least one example."""
    one, other = as_array("data", data), as_array("target", target)
    counts = [len(array) if array.ndim else 0 for array in (one, other)]
    if counts[0] != counts[1] or not one.size:
        examples, targets = many(counts[0], "example"), many(counts[1], "target")
        raise ShapeError(f"{examples} and {targets}: give one target for each example, and at least one example")
    return one, other


def _score(epoch: Epoch) -> float:
    score = epoch.loss if epoch.validation_loss is None else epoch.validation_loss
    return math.inf if math.isnan(score) else score


def _shown(numbers: range, progress: bool) -> Any:
    """The epochs, with a bar on standard error if wanted."""
    if not progress:
        return numbers
    from rich.console import Console
    from rich.progress import track

    return track(numbers, description="epochs", console=Console(stderr=True))
