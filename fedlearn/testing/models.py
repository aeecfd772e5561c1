"""Checks that every model must pass that clients train."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from fedlearn import nn
from fedlearn.datasets.examples import Examples
from fedlearn.models.base import Model
from fedlearn.nn.stackable import unstackable
from fedlearn.protocol.parties import client_name
from fedlearn.testing.toys import plain_data, same_bits
from fedlearn.training.flat import FlatModel
from fedlearn.training.stacks import batch_shape, stack

STEP = 1e-5  # of a numerical derivative, in double precision


def check_model(model: Model, data: Sequence[Examples]) -> None:
    """Raise `AssertionError` unless clients can train `model` on examples like these.

    data: a few clients' examples, equally many each, in batches that the model reads.

    * Another process builds the same model from its `spec()`.
    * Its loss is one finite number, and its gradient is the derivative of that, measured.
    * Where all its parts are stackable, a client gets the same loss and gradient, bit for bit, among others as alone.
    """
    _check_rebuilt(model)
    _check_gradient(model, data[0])
    if not unstackable(model) and batch_shape(data[0]) is not None:
        _check_stacked(model, data)


def _check_rebuilt(model: Model) -> None:
    spec = plain_data(model.spec())
    assert isinstance(spec, dict)
    again = nn.build(spec, np.random.default_rng(0))
    mine, others = ({n: (p.shape, p.dtype, p.requires_grad) for n, p in m.named_parameters()} for m in (model, again))
    assert mine == others, (
        f"a {type(model).__name__} built from its spec() has the parameters {others}, this one {mine}: "
        "give all that decides them as arguments of the constructor"
    )
    assert mine, f"a {type(model).__name__} has no parameters: set nn.Parameter or nn.Module as attributes"


def _check_gradient(model: Model, batch: Examples) -> None:
    flat = FlatModel(model)
    loss, gradient = flat.gradient(batch)
    assert np.shape(loss) == (), f"the loss of one client's batch has shape {np.shape(loss)}: give its mean per example"
    assert np.isfinite(loss), f"the loss is {loss}"
    assert gradient.shape == flat.vector.shape, f"gradient {gradient.shape} for weights {flat.vector.shape}"
    assert gradient.dtype == np.float32, f"the gradient is {gradient.dtype}: float32 is needed"
    exact = copy.deepcopy(model).double()
    direction = np.random.default_rng(5).standard_normal(gradient.size)
    direction /= np.linalg.norm(direction)
    start = exact.vector.copy()

    def loss_at(step: float) -> float:
        exact.vector[:] = start + step * direction
        return float(exact.loss(batch).numpy())

    measured = (loss_at(STEP) - loss_at(-STEP)) / (2 * STEP)
    stated = float(gradient.astype(np.float64) @ direction)
    assert abs(measured - stated) <= 1e-3 * max(1.0, abs(measured)), (
        f"the loss changes by {measured:.6g} along a direction, the gradient says {stated:.6g}"
    )


def _check_stacked(model: Model, data: Sequence[Examples]) -> None:
    together = FlatModel(model, len(data))
    losses, gradients = together.gradient(stack(data))
    for i, batch in enumerate(data):
        loss, gradient = FlatModel(model).gradient(batch)
        assert same_bits(gradient, gradients[i]), (
            f"the gradient of {client_name(i)} among others differs from its own alone: work on trailing axes, "
            "or set stackable = False"
        )
        assert same_bits(np.asarray(loss), np.asarray(losses[i])), f"the loss of {client_name(i)} among others differs"
