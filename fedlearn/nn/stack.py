"""K clients' copies of one small model, run side by side: each op works on all of them at once.

Ops work on trailing axes, so a layer does not know whether a leading axis of clients stands before its own. For
models of a few thousand weights, one step of a hundred clients costs little more than a few steps of one, and
gives each the same bits as alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.nn.activations import GELU, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from fedlearn.nn.layers import EmbeddingBag, Linear, Sequential
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter, flatten

STACKABLE = {Linear, EmbeddingBag, Sequential, Sigmoid, Tanh, ReLU, LeakyReLU, GELU, Softplus}


def unstackable(module: Module) -> list[str]:
    """The kinds of its parts, itself included, that do not work on trailing axes; none if it can be stacked.

    A class of one's own is taken at its word where it says `stackable = True`.
    """
    parts = {type(part) for part in module.modules()}
    return sorted(kind.__name__ for kind in parts - STACKABLE if not getattr(kind, "stackable", False))


class Stacked:
    """`count` copies of `module`, made of layers that work on trailing axes: inputs (K, B, in) -> outputs (K, B, out).

    For every client's own loss take the mean over all axes but the first, and for one backward pass the sum of these.
    """

    def __init__(self, module: Module, count: int):
        other = unstackable(module)
        if other or count < 1:
            kinds = "Linear, EmbeddingBag, Sequential, activations"
            raise BadInput(f"cannot stack {count} copies, with {other}: 1 or more, of {kinds}")
        self.count = count
        self.module = copy.deepcopy(module)
        for p in self.module.parameters():
            p._data = np.broadcast_to(p.numpy(), (count, *p.shape))
        flatten(self.module.parameters())

    @property
    def vectors(self) -> np.ndarray:
        """The numbers of every client as the module alone would show them, one client a row (K, P); a copy."""
        return np.concatenate([p.numpy().reshape(self.count, -1) for p in self.parameters()], axis=1)

    def __call__(self, *inputs: Any) -> Any:
        return self.module(*inputs)

    def parameters(self) -> Iterator[Parameter]:
        """Parameters (K, *shape)."""
        return self.module.parameters()
