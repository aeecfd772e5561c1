"""The parts that recurrent layers and their cells share: parameters for some gates, and one layer over a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd import ops, recurrent
from fedlearn.autograd.node import raw
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn import functional as F
from fedlearn.nn.functional.arguments import floats, whole
from fedlearn.nn.layers import drawn
from fedlearn.nn.module import Module

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
SATURATED = 1e30  # a gate with this before its sigmoid is open, with its negative shut: exactly 1 and 0


class Recurrent(Module):
    """Parameters as PyTorch's: weight_ih (gates H, I), weight_hh (gates H, H), bias_ih and bias_hh (gates H,)."""

    gates = 1
    states = 1  # tensors in the state: h, and c for an LSTM
    input_size: int
    hidden_size: int
    nonlinearity = "tanh"

    def _set_sizes(self, input_size: int, hidden_size: int) -> None:
        self.input_size = whole(input_size, "input_size", 1)
        self.hidden_size = whole(hidden_size, "hidden_size", 1)

    def _make(self, suffix: str, inputs: int, bias: bool, rng: np.random.Generator | None) -> None:
        wide = self.gates * self.hidden_size
        shapes = [(wide, inputs), (wide, self.hidden_size), (wide,), (wide,)]
        for name, shape in zip(PARTS, shapes, strict=True):
            wanted = bias or name.startswith("weight")
            setattr(self, name + suffix, drawn(self.hidden_size, rng, *shape) if wanted else None)

    def _weights(self, suffix: str) -> list[Any]:
        return [getattr(self, name + suffix) for name in PARTS]

    def _layer(
        self,
        suffix: str,
        x: Any,
        state: list[Any],
        indices: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
    ) -> tuple[Any, list[Any]]:
        """(T, B, I), or with `indices` (T, B) the rows they name in x (V, I) -> (T, B, H) and the last state.

        With lengths (B,) the last state is that after so many steps; later outputs mean nothing.
        """
        w_ih, w_hh, b_ih, b_hh = self._weights(suffix)
        bias = None if b_ih is None else b_ih + b_hh
        y = recurrent.rnn(F.linear(x, w_ih, bias), w_hh, state[0], nonlinearity=self.nonlinearity, indices=indices)
        return y, [self._at_end(y, len(y), lengths)]

    def _at_end(self, y: Any, steps: int, lengths: np.ndarray | None) -> Any:
        """The state after the last of so many steps in y (T, B, H), or after each sequence's own last."""
        return self._state(y, steps - 1) if lengths is None else y[(lengths - 1)[None], np.arange(len(lengths))]

    def _state(self, y: Any, step: int) -> Any:
        """One step of y (T, B, H), as the state (1, B, H) of a layer."""
        return ops.nth(y, place=step)

    def _checked(self, input: Any, *axes: str) -> Any:
        """The input, with so many axes before its features."""
        x = floats(input, f"{type(self).__name__}'s input")
        if x.ndim not in (len(axes), len(axes) + 1) or x.shape[-1] != self.input_size:
            wanted = ", ".join([*axes, str(self.input_size)])
            raise ShapeError(f"{type(self).__name__} takes ({wanted}), the batch may be left out: this is {x.shape}")
        return x

    def _initial(self, state: Any, batch: int, like: Any) -> list[Any]:
        """The state at the start, as a list of (layers, B, H) or of (B, H)."""
        shape = self._state_shape(batch)
        if state is None:
            return [np.zeros(shape, like.dtype) for _ in range(self.states)]
        parts = [state] if self.states == 1 or not isinstance(state, tuple | list) else list(state)
        if len(parts) != self.states or any(np.shape(raw(part)) != shape for part in parts):
            found = ", ".join(str(np.shape(raw(part))) for part in parts)
            raise ShapeError(f"{type(self).__name__} takes {self.states} initial state(s) of {shape}, given: {found}")
        return parts

    def _state_shape(self, batch: int) -> tuple[int, ...]:
        return (batch, self.hidden_size)

    def _nothing(self, x: Any, *shape: int) -> Any:
        """An empty result, of which every weight has the gradient 0."""
        total = ops.sum_(x)
        for parameter in self.parameters():
            total = total + parameter.sum()
        return np.zeros(shape, x.dtype) + total


class LSTMGates(Recurrent):
    """Long short-term memory: gates in the order i, f, g, o; the state is a pair (h, c)."""

    gates = 4
    states = 2

    def _layer(
        self,
        suffix: str,
        x: Any,
        state: list[Any],
        indices: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
    ) -> tuple[Any, list[Any]]:
        w_ih, w_hh, b_ih, b_hh = self._weights(suffix)
        projected = F.linear(x, w_ih, None if b_ih is None else b_ih + b_hh)
        if lengths is not None:
            projected, indices = self._held(projected, indices, lengths)
        y = recurrent.lstm(projected, w_hh, *state, indices=indices)
        steps = len(y) - 1
        return y[:steps], [self._at_end(y, steps, lengths), self._state(y, steps)]

    def _held(self, projected: Any, indices: np.ndarray | None, lengths: np.ndarray) -> tuple[Any, Any]:
        """The same, but that steps from `lengths` (B,) on shut the gate i and open f: they leave c as it is."""
        hold = np.repeat(np.array([-SATURATED, SATURATED, 0, 0], projected.dtype), self.hidden_size)
        if indices is None:
            return ops.where(within(len(projected), lengths)[..., None], projected, hold), None
        rows = ops.concatenate([projected, hold[None]])
        return rows, np.where(within(len(indices), lengths), indices, len(projected))


class GRUGates(Recurrent):
    """Gated recurrent units: gates in the order r, z, n."""

    gates = 3

    def _layer(
        self,
        suffix: str,
        x: Any,
        state: list[Any],
        indices: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
    ) -> tuple[Any, list[Any]]:
        w_ih, w_hh, b_ih, b_hh = self._weights(suffix)
        recalled = np.zeros(len(w_hh), w_hh.dtype) if b_hh is None else b_hh
        y = recurrent.gru(F.linear(x, w_ih, b_ih), w_hh, recalled, *state, indices=indices)
        return y, [self._at_end(y, len(y), lengths)]


def within(steps: int, lengths: np.ndarray) -> np.ndarray:
    """Which steps (T, B) belong to sequences of these lengths (B,)."""
    return np.arange(steps)[:, None] < lengths


def backwards(x: Any, lengths: np.ndarray | None) -> Any:
    """Sequences (T, B, ...) from their last step to their first; what lies beyond their lengths stays."""
    if lengths is None:
        return ops.flip(x, axis=0)
    steps = np.arange(len(x))[:, None]
    return x[np.where(steps < lengths, lengths - 1 - steps, steps), np.arange(len(lengths))]


def known_nonlinearity(nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise BadInput(f"unknown nonlinearity {nonlinearity!r}: choose tanh or relu")
    return nonlinearity
