"""What a model offers to whoever trains it."""

from __future__ import annotations

from fedlearn.autograd import Tensor
from fedlearn.datasets.bags import Examples
from fedlearn.nn import Module


class Model(Module):
    """A `Module` that knows its own loss, so that one training loop serves every model."""

    def loss(self, batch: Examples) -> Tensor:
        """Mean loss per example of a batch, a scalar Tensor in nats."""
        raise NotImplementedError
