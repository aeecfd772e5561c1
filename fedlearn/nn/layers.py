"""The plain layers: linear, dropout, flattening."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.checked import generator
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn import functional as F
from fedlearn.nn import init
from fedlearn.nn.functional.arguments import axis_of, numbers, real, shaped, whole
from fedlearn.nn.functional.products import dropout_by
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter


class Linear(Module):
    """x (..., in_features) -> x weight^T + bias (..., out_features); weight is (out_features, in_features)."""

    stackable = True
    replayable = True

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, rng: np.random.Generator | None = None
    ):
        inputs, outputs = whole(in_features, "in_features", 0), whole(out_features, "out_features", 0)
        self.weight = drawn(inputs, rng, outputs, inputs)
        self.bias = drawn(inputs, rng, outputs) if bias else None

    def forward(self, input: Any) -> Any:
        if self.bias is None:
            return F.linear(input, self.weight)
        return ops.linear(input, self.weight, self.bias)  # F.linear would ask first what kind of bias this is


class Flatten(Module):
    """The axes from start_dim to end_dim made into one; by default all but the first, which are the examples."""

    replayable = True

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim = whole(start_dim, "start_dim")
        self.end_dim = whole(end_dim, "end_dim")

    def forward(self, input: Any) -> Any:
        x = numbers(input, "Flatten's input")
        first, last = axis_of(x, self.start_dim, "Flatten"), axis_of(x, self.end_dim, "Flatten")
        if first > last:
            raise ShapeError(f"Flatten from dim {first} to {last}: the first comes after the last")
        shape = x.shape
        return ops.reshape(x, shape=(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


class Dropout(Module):
    """In training, each number is 0 with probability p, and else divided by 1 - p."""

    replayable = True

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None):
        self.p = real(p, "dropout's p", 0, 1)
        self.rng = None if rng is None else generator(rng)

    def forward(self, input: Any) -> Any:
        return dropout_by(self._draw, input, self.p, self.training)

    def _draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers from the generator that the layer has now: a recorded step draws what the tape would draw."""
        return generator(self.rng).random(shape, np.float32)


_room: ContextVar[list[int] | None] = ContextVar("room", default=None)  # for how many numbers there still is


@contextmanager
def room_for(numbers: int) -> Iterator[None]:
    """Meanwhile layers are made with about so many numbers in all, and `BadInput` is raised for twice as many.

    For models that a file of others describes: what it says costs no more memory than the weights that belong to it.
    """
    token = _room.set([2 * numbers + 2**16])
    try:
        yield
    finally:
        _room.reset(token)


def empty(*shape: int) -> Any:
    """A parameter of zeros, to be filled."""
    sizes, room = shaped(shape, "a parameter"), _room.get()
    if room is not None:
        room[0] -= math.prod(sizes)
        if room[0] < 0:
            raise BadInput(f"a parameter of shape {sizes!r:.60} is more than there are weights for: another model's")
    return Parameter(np.zeros(sizes, np.float32))


def drawn(fan_in: int, rng: np.random.Generator | None, *shape: int) -> Any:
    """A parameter drawn evenly from within 1 / sqrt(fan_in) of 0, as most of PyTorch's layers begin."""
    parameter = empty(*shape)
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return init.uniform_(parameter, -bound, bound, rng)
