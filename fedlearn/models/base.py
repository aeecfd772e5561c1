"""The interface of a model to the code that trains it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from fedlearn import nn
from fedlearn.autograd import Tensor
from fedlearn.autograd.fused import cross_entropy
from fedlearn.autograd.rows import RowSparse
from fedlearn.autograd.walk import pullback
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models.kinds import Kind
from fedlearn.nn import functional as F


class Trainable(Protocol):
    """The interface that local training needs: one model, or K copies side by side.

    All is flat, and of K copies it is K rows: code on trailing axes trains one client or many.
    """

    @property
    def vector(self) -> np.ndarray:
        """Its weights, float32 (P,) or (K, P): their memory, to be written to."""
        ...

    def gradient(self, batch: Examples) -> tuple[np.ndarray, np.ndarray]:
        """The mean loss per example of a batch in nats, () or (K,), and its gradient, float32 (P,) or (K, P)."""
        ...


class Stepped(Protocol):
    """A `Model`, or what has its loss and says likewise which words it reads, if any."""

    @property
    def vocabulary(self) -> str | None: ...

    def loss(self, batch: Examples) -> Tensor: ...


class Model(nn.Module, ABC):
    """A module that knows its own loss, so that one training loop serves every model.

    stackable  `forward` and `loss` work on trailing axes: with a leading axis of clients before all inputs,
               targets and parameters they give every client what it would have got alone, its loss included
    replayable what `loss` computes depends on nothing but the parameters and the batch's `inputs` and `targets`, and
               which ops it calls on their shapes alone: no `if` asks for a value, nothing is counted, and nothing
               is drawn but by layers that have a generator `rng`
    vocabulary the name of the parameter (V, ...) whose rows the indices of `Bags` name, if there is one: a
               client then trains with the rows that its own examples name
    reads      the kind of samples it reads (`fedlearn.models.kinds`): scenarios that have such samples take it
    width      how wide it is where nobody says so: the default of `for_samples` and of the option --dim
    """

    stackable: ClassVar[bool] = False
    replayable: ClassVar[bool] = False
    vocabulary: ClassVar[str | None] = None
    reads: ClassVar[type[Kind] | None] = None
    width: ClassVar[int | None] = None

    @classmethod
    def for_samples(cls, samples: Any, width: int, *, rng: np.random.Generator | None = None) -> Self:
        """A model for samples of the kind that it `reads`: `samples` is a value of that class. width: --dim.

        Raises `BadInput` for a class that does not say how.
        """
        raise BadInput(
            f"model {cls.__name__} does not build itself for samples: give it reads and for_samples (see "
            "fedlearn.models.base.Model), or build it in Python"
        )

    @abstractmethod
    def loss(self, batch: Examples) -> Tensor:
        """Mean loss per example of a batch, a scalar Tensor in nats; (K,) of K stacked clients' batches."""

    def gradient(self, batch: Examples) -> tuple[np.ndarray, np.ndarray]:
        return flat_gradient(self, list(self.parameters()), batch)


def flat_gradient(model: Model, parameters: Iterable[nn.Parameter], batch: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Same as `Trainable.gradient`, for given parameters. They may have a leading axis of K stacked clients.

    A client's loss does not depend on another's weights, so one backward pass from the losses' sum gives all gradients.
    """
    loss, gradient = taped_gradient(model, parameters, batch)
    return loss.numpy(), gradient


def taped_gradient(
    model: Stepped, parameters: Iterable[nn.Parameter], batch: Examples, retain_graph: bool = False
) -> tuple[Tensor, np.ndarray]:
    """The same, with the loss as it was recorded."""
    loss = model.loss(batch)
    leaves = pullback(loss, _ones(loss.shape, loss.dtype), retain_graph=retain_graph, own=False)
    found = {leaf._id: g for leaf, g in leaves}
    try:
        parts = [_dense(found.get(parameter._id), parameter).reshape((*loss.shape, -1)) for parameter in parameters]
    except ValueError:
        raise ShapeError(
            f"{type(model).__name__}.loss gives an array of shape {loss.shape}: "
            "return the mean over the batch, one number"
        ) from None
    return loss, np.concatenate(parts, axis=-1)


@lru_cache(maxsize=64)
def _ones(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.ones(shape, dtype)


def _dense(gradient: np.ndarray | RowSparse | None, parameter: nn.Parameter) -> np.ndarray:
    if gradient is None:
        return np.zeros(parameter.shape, parameter.dtype)
    return gradient.dense() if isinstance(gradient, RowSparse) else gradient


def mean_cross_entropy(logits: Any, targets: np.ndarray) -> Tensor:
    """Logits (..., B, C) and classes (..., B): the mean over B of -log softmax(logits)[target], (...)."""
    classes = F.checked_indices(targets, logits.shape[-1], "target class")
    if logits.shape[:-1] != classes.shape:
        raise ShapeError(f"logits of shape {logits.shape} (classes last) do not fit targets of shape {classes.shape}")
    loss: Tensor = cross_entropy(logits, target=classes, average=True)
    return loss
