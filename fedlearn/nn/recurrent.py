"""Recurrent layers and their cells. Parameters as PyTorch's: weight_ih_l0 (gates H, I), weight_hh_l0 (gates H, H)..."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd import ops, recurrent
from fedlearn.autograd.node import raw
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn import functional as F
from fedlearn.nn.layers import drawn
from fedlearn.nn.module import Module

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Recurrent(Module):
    """What layers and cells share: parameters for some gates, and one layer over a sequence."""

    gates: int
    states = 1  # tensors in the state: h, and c for an LSTM
    input_size: int
    hidden_size: int
    nonlinearity = "tanh"

    def _make(self, suffix: str, inputs: int, bias: bool, rng: np.random.Generator | None) -> None:
        wide = self.gates * self.hidden_size
        shapes = [(wide, inputs), (wide, self.hidden_size), (wide,), (wide,)]
        for name, shape in zip(PARTS, shapes, strict=True):
            wanted = bias or name.startswith("weight")
            setattr(self, name + suffix, drawn(self.hidden_size, rng, *shape) if wanted else None)

    def _layer(self, suffix: str, x: Any, state: list[Any], indices: np.ndarray | None = None) -> tuple[Any, list[Any]]:
        """(T, B, I), or with `indices` (T, B) the rows they name in x (V, I) -> (T, B, H) and the last state."""
        w_ih, w_hh, b_ih, b_hh = (getattr(self, name + suffix) for name in PARTS)
        bias = None if b_ih is None else b_ih + b_hh
        y = recurrent.rnn(F.linear(x, w_ih, bias), w_hh, state[0], nonlinearity=self.nonlinearity, indices=indices)
        return y, [y[-1]]

    def _check_input(self, input: Any, *axes: str) -> None:
        if input.ndim != len(axes) + 1 or input.shape[-1] != self.input_size:
            wanted = ", ".join([*axes, str(self.input_size)])
            raise ShapeError(f"{type(self).__name__} takes ({wanted}), the input has shape {input.shape}")

    def _initial(self, state: Any, batch: int, like: Any) -> list[Any]:
        """The state at the start, as a list of (layers, B, H) or of (B, H)."""
        shape = self._state_shape(batch)
        if state is None:
            return [np.zeros(shape, like.dtype) for _ in range(self.states)]
        parts = [state] if self.states == 1 else list(state)
        if len(parts) != self.states or any(np.shape(raw(part)) != shape for part in parts):
            found = ", ".join(str(np.shape(raw(part))) for part in parts)
            raise ShapeError(f"{type(self).__name__} takes {self.states} initial state(s) of {shape}, given: {found}")
        return parts

    def _state_shape(self, batch: int) -> tuple[int, ...]:
        return (batch, self.hidden_size)


class _LSTMGates(_Recurrent):
    gates = 4
    states = 2

    def _layer(self, suffix: str, x: Any, state: list[Any], indices: np.ndarray | None = None) -> tuple[Any, list[Any]]:
        w_ih, w_hh, b_ih, b_hh = (getattr(self, name + suffix) for name in PARTS)
        bias = None if b_ih is None else b_ih + b_hh
        y = recurrent.lstm(F.linear(x, w_ih, bias), w_hh, *state, indices=indices)
        return y[:-1], [y[-2], y[-1]]


class _GRUGates(_Recurrent):
    gates = 3

    def _layer(self, suffix: str, x: Any, state: list[Any], indices: np.ndarray | None = None) -> tuple[Any, list[Any]]:
        w_ih, w_hh, b_ih, b_hh = (getattr(self, name + suffix) for name in PARTS)
        recalled = np.zeros(len(w_hh), w_hh.dtype) if b_hh is None else b_hh
        y = recurrent.gru(F.linear(x, w_ih, b_ih), w_hh, recalled, *state, indices=indices)
        return y, [y[-1]]


class _Layers(_Recurrent):
    """One or more recurrent layers over whole sequences."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        *,
        rng: np.random.Generator | None = None,
    ):
        if min(input_size, hidden_size, num_layers) < 1:
            raise BadInput(f"sizes {input_size}, {hidden_size} and {num_layers} layers: each must be at least 1")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.dropout = dropout
        self.rng = rng
        for layer in range(num_layers):
            self._make(f"_l{layer}", hidden_size if layer else input_size, bias, rng)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """input (T, B, input_size), or (B, T, input_size) if batch_first -> (outputs of every step, the last state).

        The state is (layers, B, H), for an LSTM a pair (h, c) of them; None begins with zeros.
        """
        self._check_input(input, *("BT" if self.batch_first else "TB"))
        return self._run(input.swapaxes(0, 1) if self.batch_first else input, hx, None)

    def embedded(self, indices: Any, weight: Any, hx: Any = None) -> tuple[Any, Any]:
        """The same as `forward` of the rows of weight (V, input_size) at `indices` (T, B), or (B, T) if batch_first.

        Where V is below T B, the vocabulary is projected in place of the sequence: exact, and less work.
        """
        indices = F.checked_indices(indices, len(weight), "embedding index")
        if indices.ndim != 2:
            raise ShapeError(f"{type(self).__name__} takes indices of two axes, these have shape {indices.shape}")
        if self.batch_first:
            indices = indices.T
        if indices.size <= len(weight):
            return self._run(ops.take(weight, indices=indices), hx, None)
        return self._run(weight, hx, indices)

    def _run(self, x: Any, hx: Any, indices: np.ndarray | None) -> tuple[Any, Any]:
        batch = (x if indices is None else indices).shape[1]
        begin = self._initial(hx, batch, self.weight_hh_l0)  # type: ignore[attr-defined]
        last: list[list[Any]] = []
        for layer in range(self.num_layers):
            if layer:
                x = F.dropout(x, self.dropout, self.training, rng=self.rng)
            x, state = self._layer(f"_l{layer}", x, [part[layer] for part in begin], None if layer else indices)
            last.append(state)
        ends = [ops.stack(list(parts)) for parts in zip(*last, strict=True)]
        return x.swapaxes(0, 1) if self.batch_first else x, ends[0] if self.states == 1 else tuple(ends)

    def _state_shape(self, batch: int) -> tuple[int, ...]:
        return (self.num_layers, batch, self.hidden_size)


class _Cell(_Recurrent):
    """One step of a recurrent layer."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, rng: np.random.Generator | None = None):
        if min(input_size, hidden_size) < 1:
            raise BadInput(f"sizes {input_size} and {hidden_size}: each must be at least 1")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self._make("", input_size, bias, rng)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """input (B, input_size) and state (B, H), for an LSTM (h, c) -> the next state."""
        self._check_input(input, "B")
        state = self._initial(hx, len(input), self.weight_hh)  # type: ignore[attr-defined]
        _, state = self._layer("", ops.unsqueeze(input, 0), state)
        return state[0] if self.states == 1 else tuple(state)


class LSTM(_Layers, _LSTMGates):
    """Long short-term memory; the state is a pair (h, c). Gates in the order i, f, g, o."""


class GRU(_Layers, _GRUGates):
    """Gated recurrent units. Gates in the order r, z, n."""


class RNN(_Layers):
    """h = tanh(W x + U h + b), or relu."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        *,
        rng: np.random.Generator | None = None,
    ):
        self.nonlinearity = _known(nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, rng=rng)


class LSTMCell(_Cell, _LSTMGates):
    """One step of an LSTM: (h, c) -> (h, c)."""


class GRUCell(_Cell, _GRUGates):
    """One step of a GRU."""


class RNNCell(_Cell):
    """One step of an RNN."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        rng: np.random.Generator | None = None,
    ):
        self.nonlinearity = _known(nonlinearity)
        super().__init__(input_size, hidden_size, bias, rng=rng)


def _known(nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise BadInput(f"unknown nonlinearity {nonlinearity!r}: choose tanh or relu")
    return nonlinearity


def recurrent_shapes(model: Module) -> list[tuple[int, int]]:
    """Shapes (gates * H, H) of the recurrent weights in a model, one of each of its recurrent layers and cells."""
    layers = [module for module in model.modules() if isinstance(module, _Recurrent)]
    return [(layer.gates * layer.hidden_size, layer.hidden_size) for layer in layers]
