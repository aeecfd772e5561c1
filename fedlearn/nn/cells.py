"""One step of a recurrent layer, for those who write the loop themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.autograd.node import raw
from fedlearn.nn.gates import GRUGates, LSTMGates, Recurrent, known_nonlinearity
from fedlearn.nn.parameter import Parameter


class _Cell(Recurrent):
    """One step of a recurrent layer."""

    weight_hh: Parameter

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, rng: np.random.Generator | None = None):
        self._set_sizes(input_size, hidden_size)
        self._make("", self.input_size, bias, rng)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """input (B, input_size) and state (B, H), for an LSTM (h, c) -> the next state; the batch may be left out."""
        x = self._checked(input, "B")
        alone = x.ndim == 1
        if alone:
            x, hx = ops.unsqueeze(x, 0), _one(hx, self.states)
        begin = self._initial(hx, len(x), self.weight_hh)
        if len(x):
            _, state = self._layer("", ops.unsqueeze(x, 0), begin)
        else:
            state = [self._nothing(x, 0, self.hidden_size) for _ in begin]
        if alone:
            state = [part[0] for part in state]
        return state[0] if self.states == 1 else tuple(state)

    def _state(self, y: Any, step: int) -> Any:
        """One step of y (T, B, H), as the state (B, H) of a cell."""
        return y[step]


def _one(hx: Any, states: int) -> Any:
    """A state without a batch axis, with one."""
    if hx is None:
        return None
    if states == 1 or not isinstance(hx, tuple | list):
        return ops.unsqueeze(hx, 0) if np.ndim(raw(hx)) else hx
    return [ops.unsqueeze(part, 0) if np.ndim(raw(part)) else part for part in hx]


class LSTMCell(_Cell, LSTMGates):
    """One step of an LSTM: (h, c) -> (h, c)."""


class GRUCell(_Cell, GRUGates):
    """One step of a GRU."""


class RNNCell(_Cell):
    """One step of an RNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        rng: np.random.Generator | None = None,
    ):
        self.nonlinearity = known_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias, rng=rng)
