"""The plain layers: linear, embeddings, dropout, and the module that runs others in a row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.errors import BadInput
from fedlearn.nn import functional as F
from fedlearn.nn import init
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter


class Linear(Module):
    """x (..., in_features) -> x weight^T + bias (..., out_features); weight is (out_features, in_features)."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: np.random.Generator | None = None
    ):
        self.weight = drawn(in_features, rng, out_features, in_features)
        self.bias = drawn(in_features, rng, out_features) if bias else None

    def forward(self, input: Any) -> Any:
        return F.linear(input, self.weight, self.bias)


class Embedding(Module):
    """Whole numbers (...) -> rows (..., embedding_dim) of weight (num_embeddings, embedding_dim)."""

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: np.random.Generator | None = None):
        self.weight = init.normal_(empty(num_embeddings, embedding_dim), rng=rng)

    def forward(self, input: Any) -> Any:
        return F.embedding(input, self.weight)


class EmbeddingBag(Module):
    """Bags of whole numbers -> sums or means (B, embedding_dim) of rows of weight (num_embeddings, embedding_dim)."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "mean",
        *,
        rng: np.random.Generator | None = None,
    ):
        self.weight = init.normal_(empty(num_embeddings, embedding_dim), rng=rng)
        self.mode = mode

    def forward(self, input: Any, offsets: Any = None) -> Any:
        """input (n,) with offsets (B,), or (B, n) without."""
        return F.embedding_bag(input, self.weight, offsets, self.mode)


class Sequential(Module):
    """Modules run one after the other; they are named "0", "1", ... or as in the mapping given."""

    def __init__(self, *modules: Any):
        given = modules[0] if len(modules) == 1 and isinstance(modules[0], Mapping) else None
        for name, module in given.items() if given else enumerate(modules):
            if not isinstance(module, Module):
                raise BadInput(f"Sequential holds Modules, not a {type(module).__name__}: wrap it in a Module")
            setattr(self, str(name), module)

    def forward(self, input: Any) -> Any:
        for module in self.children():
            input = module(input)
        return input

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return len(list(self.children()))

    def __getitem__(self, index: int) -> Module:
        return list(self.children())[index]


class Flatten(Module):
    """The axes from start_dim on made into one; the first stays, being the examples."""

    def __init__(self, start_dim: int = 1):
        self.start_dim = start_dim

    def forward(self, input: Any) -> Any:
        return ops.reshape(input, shape=(*input.shape[: self.start_dim], -1))


class Dropout(Module):
    """In training, each number is 0 with probability p, and else divided by 1 - p."""

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None):
        self.p = p
        self.rng = rng

    def forward(self, input: Any) -> Any:
        return F.dropout(input, self.p, self.training, rng=self.rng)


def empty(*shape: int) -> Any:
    """A parameter of zeros, to be filled."""
    if min(shape) < 0:
        raise BadInput(f"a parameter of shape {shape}: each size is at least 0")
    return Parameter(np.zeros(shape, np.float32))


def drawn(fan_in: int, rng: np.random.Generator | None, *shape: int) -> Any:
    """A parameter drawn evenly from within 1 / sqrt(fan_in) of 0, as most of PyTorch's layers begin."""
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return init.uniform_(empty(*shape), -bound, bound, rng)
