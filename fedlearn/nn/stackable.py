"""Which modules K clients' copies can run through side by side: those that work on trailing axes.

Such a layer does not know whether a leading axis of clients stands before its own, and it gives each client the same
bits as alone. `fedlearn.training.flat` trains small models so.
"""

from __future__ import annotations

from fedlearn.nn.activations import GELU, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from fedlearn.nn.layers import EmbeddingBag, Linear, Sequential
from fedlearn.nn.module import Module

STACKABLE = {Linear, EmbeddingBag, Sequential, Sigmoid, Tanh, ReLU, LeakyReLU, GELU, Softplus}


def unstackable(module: Module) -> list[str]:
    """The kinds of its parts, itself included, that do not work on trailing axes; none if it can be stacked.

    A class of one's own is taken at its word where it says `stackable = True`.
    """
    parts = {type(part) for part in module.modules()}
    return sorted(kind.__name__ for kind in parts - STACKABLE if not getattr(kind, "stackable", False))
