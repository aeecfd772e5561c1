"""Recurrent layers over whole sequences. Parameters as PyTorch's: weight_ih_l0 (gates H, I), weight_hh_l0..."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.autograd.node import raw
from fedlearn.autograd.places import indices as whole_numbers
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn import functional as F
from fedlearn.nn.functional.arguments import real, whole
from fedlearn.nn.gates import GRUGates, LSTMGates, Recurrent, backwards, known_nonlinearity, within
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter
from fedlearn.wording import many


class _Layers(Recurrent):
    """One or more recurrent layers; if bidirectional, each with a second one that reads from the end."""

    weight_hh_l0: Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: np.random.Generator | None = None,
    ):
        self._set_sizes(input_size, hidden_size)
        self.num_layers = whole(num_layers, "num_layers", 1, 1000)
        self.batch_first = batch_first
        self.dropout = real(dropout, "dropout", 0, 1)
        if self.dropout and self.num_layers == 1:
            raise BadInput(
                f"dropout is {dropout}, but it stands between layers, and there is only one: give num_layers=2 or "
                "more, or put a Dropout behind"
            )
        self.bidirectional = bidirectional
        self.rng = rng
        for layer in range(self.num_layers):
            inputs = self.hidden_size * len(self._directions) if layer else self.input_size
            for direction in self._directions:
                self._make(f"_l{layer}{direction}", inputs, bias, rng)

    @property
    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        """input (T, B, input_size), or (B, T, input_size) if batch_first -> (outputs of every step, the last state).

        Outputs have H numbers, 2 H if bidirectional. The state is (layers, B, H), twice as many if bidirectional; for
        an LSTM it is a pair (h, c) of them; None begins with zeros. Without a batch: (T, input_size) and (layers, H).

        lengths: whole numbers (B,) from 1 to T, of sequences that end before the others. What stands in the input
        beyond is not read, outputs are 0 there, and the last state is that after the sequence's own last step.
        """
        x = self._checked(input, *("BT" if self.batch_first else "TB"))
        if x.ndim == 2:
            if lengths is not None:
                raise BadInput("lengths go with a batch of sequences: cut a single one")
            return self._alone(x, hx)
        if self.batch_first:
            x = x.swapaxes(0, 1)
        lengths = None if lengths is None else checked_lengths(lengths, *x.shape[:2])
        if lengths is not None:
            x = ops.where(within(len(x), lengths)[..., None], x, 0.0)
        return self._run(x, hx, None, lengths)

    def embedded(self, indices: Any, weight: Any, hx: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        """The same as `forward` of the rows of weight (V, input_size) at `indices` (T, B), or (B, T) if batch_first.

        Where V is below T B, the vocabulary is projected in place of the sequence: exact, and less work.
        """
        indices = F.checked_indices(indices, len(weight), "embedding index")
        if indices.ndim != 2:
            raise ShapeError(f"{type(self).__name__} takes indices of two axes, these have shape {indices.shape}")
        if self.batch_first:
            indices = indices.T
        lengths = None if lengths is None else checked_lengths(lengths, *indices.shape)
        if indices.size <= len(weight):
            return self._run(ops.take(weight, indices=indices), hx, None, lengths)
        return self._run(weight, hx, indices, lengths)

    def _run(self, x: Any, hx: Any, indices: np.ndarray | None, lengths: np.ndarray | None) -> tuple[Any, Any]:
        steps, batch = (x if indices is None else indices).shape[:2]
        if not steps:
            raise ShapeError(f"{type(self).__name__} takes sequences of at least one step, the input has none")
        begin = self._initial(hx, batch, self.weight_hh_l0)
        if not batch:
            return self._of_nobody(x, steps)
        last: list[list[Any]] = []
        for layer in range(self.num_layers):
            if layer:
                x, indices = F.dropout(x, self.dropout, self.training, rng=self.rng), None
            outputs = []
            for direction in self._directions:
                state = [part[len(last)] for part in begin]
                y, state = self._one_way(f"_l{layer}{direction}", x, state, indices, lengths)
                outputs.append(y)
                last.append(state)
            x = outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, axis=-1)
        if lengths is not None:
            x = ops.where(within(steps, lengths)[..., None], x, 0.0)
        ends = last[0] if len(last) == 1 else [ops.concatenate(parts) for parts in zip(*last, strict=True)]
        return x.swapaxes(0, 1) if self.batch_first else x, ends[0] if self.states == 1 else tuple(ends)

    def _one_way(
        self, suffix: str, x: Any, state: list[Any], indices: np.ndarray | None, lengths: np.ndarray | None
    ) -> tuple[Any, list[Any]]:
        if not suffix.endswith("_reverse"):
            return self._layer(suffix, x, state, indices, lengths)
        if indices is None:
            x = backwards(x, lengths)
        else:
            indices = np.ascontiguousarray(backwards(indices, lengths))
        y, state = self._layer(suffix, x, state, indices, lengths)
        return backwards(y, lengths), state

    def _alone(self, x: Any, hx: Any) -> tuple[Any, Any]:
        """One sequence (T, input_size) without a batch."""
        batch = 0 if self.batch_first else 1
        if hx is not None:
            parts = [hx] if self.states == 1 or not isinstance(hx, tuple | list) else list(hx)
            if any(np.ndim(raw(part)) != 2 for part in parts):
                raise ShapeError(f"{type(self).__name__} takes a state (layers, H) with a sequence without a batch")
            hx = [ops.unsqueeze(part, 1) for part in parts] if self.states > 1 else ops.unsqueeze(hx, 1)
        y, last = self.forward(ops.unsqueeze(x, batch), hx)
        take = (slice(None), 0)
        return y[take if batch else 0], last[take] if self.states == 1 else tuple(part[take] for part in last)

    def _of_nobody(self, x: Any, steps: int) -> tuple[Any, Any]:
        """The outputs and the state of an empty batch."""
        shape = (0, steps) if self.batch_first else (steps, 0)
        outputs = self._nothing(x, *shape, self.hidden_size * len(self._directions))
        ends = tuple(self._nothing(x, *self._state_shape(0)) for _ in range(self.states))
        return outputs, ends[0] if self.states == 1 else ends

    def _state_shape(self, batch: int) -> tuple[int, ...]:
        return (self.num_layers * len(self._directions), batch, self.hidden_size)


def checked_lengths(given: Any, steps: int, batch: int) -> np.ndarray:
    """The lengths of sequences (batch,), int64 from 1 to `steps`; else `ShapeError` or `BadInput`."""
    lengths = whole_numbers(given, "length of a sequence").astype(np.int64)
    if lengths.shape != (batch,):
        raise ShapeError(
            f"lengths are one whole number for each of {many(batch, 'sequence')}, these have {lengths.shape}"
        )
    if batch and not (lengths.min() >= 1 and lengths.max() <= steps):
        raise BadInput(f"lengths reach from {lengths.min()} to {lengths.max()}: valid are 1 to {steps}")
    return lengths


class LSTM(_Layers, LSTMGates):
    """Long short-term memory; the state is a pair (h, c). Gates in the order i, f, g, o."""


class GRU(_Layers, GRUGates):
    """Gated recurrent units. Gates in the order r, z, n."""


class RNN(_Layers):
    """h = tanh(W x + U h + b), or relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: np.random.Generator | None = None,
    ):
        self.nonlinearity = known_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng=rng)


def recurrent_shapes(model: Module) -> list[tuple[int, int]]:
    """Shapes (gates * H, H) of the recurrent weights in a model, one of each of its recurrent layers and cells."""
    layers = [module for module in model.modules() if isinstance(module, Recurrent)]
    return [(layer.gates * layer.hidden_size, layer.hidden_size) for layer in layers]
