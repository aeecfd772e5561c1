"""Long short-term memory over a whole sequence, in one op (Hochreiter and Schmidhuber 1997; gates as PyTorch's).

i, f, o = sigmoid; g = tanh; c = f c + i g; h = o tanh(c). Gates stand in the order i, f, g, o along the last axis.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused
from fedlearn.autograd.kernel_plan import current
from fedlearn.autograd.ops import sigmoid, split, stack, tanh
from fedlearn.autograd.recurrent import kernels
from fedlearn.autograd.recurrent.gate_gradients import gate_gradients
from fedlearn.autograd.recurrent.incoming import Incoming
from fedlearn.autograd.recurrent.layout import (
    Projections,
    aligned,
    matrices,
    projections_gradient,
    row_numbers,
    unrolled,
    weight_gradient,
)
from fedlearn.autograd.recurrent.products import Product
from fedlearn.autograd.recurrent.rooms import Call, Lent, rooms

WITHIN = [0, 1, 3, 2]  # the gates' order within the loop over steps: i, f, o, g
# sigmoid(x) = tanh(x / 2) / 2 + 1/2, so that one tanh serves all gates; halving first rounds nothing.
HALVED = 3  # the gates that are sigmoids, which come first within the loop


class Sequence:
    """A room for one shape of sequence: T steps of B rows of H units, from projections or a table of V of them."""

    def __init__(self, length: int, batch: int, hidden: int, dtype: np.dtype, vocabulary: int | None):
        self._incoming = Incoming(length, batch, hidden, dtype, vocabulary, WITHIN, HALVED)
        self._product = Product((4, hidden, hidden), dtype, batch)
        self._planes = aligned((length + 1, 5, batch, hidden), dtype)  # of every step: its gates, and c before it
        self._states = aligned((length + 2, batch, hidden), dtype)  # h0, h of every step, the last c
        self._squashed = aligned((length, batch, hidden), dtype)  # tanh(c) of every step
        self._parts = aligned((4, batch, hidden), dtype)
        self._known = None if vocabulary is None else aligned((4, batch, hidden), dtype)  # one step's rows of the table
        self._ahead = [self._step(t) for t in range(length)]
        self._back: list[Call] = []
        arrays = (self._planes, self._states, self._squashed)
        self.bytes = 2 * (self._product.bytes + sum(array.nbytes for array in arrays))  # as much on the way back
        self.bytes += self._incoming.bytes

    def _step(self, t: int) -> list[Call]:
        gates, c, tanh_c = self._planes[t, :4], self._planes[t + 1, 4], self._squashed[t]
        pointwise = kernels.pointwise()
        if self._known is None:
            sums = [partial(np.add, gates, self._parts, gates)]
        else:
            sums = pointwise.sums_of_rows(
                self._incoming.table, self._incoming.places[t], self._known, self._parts, gates
            )
        return [
            self._product.bound(self._states[t], self._parts),
            *sums,
            partial(np.tanh, gates, gates),
            *pointwise.lstm_cell(self._planes[t], c, self._parts),
            partial(np.tanh, c, tanh_c),
            partial(np.multiply, gates[2], tanh_c, self._states[t + 1]),
        ]

    def forward(
        self, projected: np.ndarray, weight: np.ndarray, h0: np.ndarray, c0: np.ndarray, indices: np.ndarray | None
    ) -> np.ndarray:
        self._incoming.read(projected, indices)
        ahead = matrices(weight)[WITHIN].swapaxes(1, 2)
        ahead[:HALVED] *= 0.5
        self._product.load(ahead)
        self._states[0], self._planes[0, 4] = h0, c0
        whole = self._known is not None  # each step reads its own rows
        for steps in [slice(None)] if whole else self._incoming.some_at_once(self._planes[:-1, :4]):
            for calls in self._ahead[steps]:
                for call in calls:
                    call()
        self._states[-1] = self._planes[-1, 4]
        return self._states[1:].copy()

    def backward(
        self, g: np.ndarray, projected: np.ndarray, weight: np.ndarray, indices: np.ndarray | None
    ) -> list[np.ndarray]:
        """The gradients of the projections or the table, of the weight, and of h0 and c0."""
        length = len(self._squashed)
        if not self._back:
            self._bind_back()
        self._dgates.load(weight)
        self._outputs[...], self._parts_back[length % 2, 4] = g[:length], g[length]
        self._dgates.shares[...] = 0
        for call in self._back:
            call()
        dprojected = self._dgates.of_projections(projected, indices)
        dweight = self._dgates.of_weight(self._states[:length])
        dh = np.add.reduce(self._dgates.shares, axis=0)
        return [dprojected, dweight, dh, self._parts_back[0, 4].copy()]

    def _bind_back(self) -> None:
        length, batch, hidden = self._squashed.shape
        dtype = self._planes.dtype
        self._dgates = gate_gradients(length, batch, hidden, dtype, WITHIN)
        self._outputs = aligned((length, batch, hidden), dtype)
        self._parts_back = aligned((2, 5, batch, hidden), dtype)  # by turns: a step reads the one before
        self._slopes = aligned((self._incoming.at_once, batch, hidden), dtype)
        for steps in reversed(self._incoming.steps):
            ts = range(length)[steps]
            slopes = self._slopes[: len(ts)]  # of h by c: o - h tanh(c)
            self._back.append(partial(np.multiply, self._states[1:-1][steps], self._squashed[steps], slopes))
            self._back.append(partial(np.subtract, self._planes[:-1, 2][steps], slopes, slopes))
            for t in reversed(ts):
                self._back += self._step_back(t)

    def _step_back(self, t: int) -> list[Call]:
        mine, later = self._parts_back[t % 2], self._parts_back[(t + 1) % 2]
        cell = kernels.pointwise().lstm_cell_back(
            self._planes[t], self._states[t + 1], self._slopes[t % self._incoming.at_once], self._outputs[t],
            self._dgates.shares, later[4], mine, self._dgates.by_gate, t, self._parts,
        )  # fmt: skip
        return [*cell, self._dgates.product(t)]


def _forward(
    projected: np.ndarray, weight: np.ndarray, h0: np.ndarray, c0: np.ndarray, indices: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    if indices is not None:
        indices = row_numbers(indices, projected)
    length, batch = (projected if indices is None else indices).shape[:2]
    if kernels.whole_sequences(weight, batch):
        return _whole(projected, weight, h0, c0, indices)
    hidden, vocabulary = weight.shape[1], None if indices is None else len(projected)
    key = ("lstm", current(), length, batch, hidden, weight.dtype, vocabulary)
    lent = rooms.lend(key, lambda: Sequence(length, batch, hidden, weight.dtype, vocabulary))
    return lent.room.forward(projected, weight, h0, c0, indices), lent


def _whole(
    projected: np.ndarray, weight: np.ndarray, h0: np.ndarray, c0: np.ndarray, indices: np.ndarray | None
) -> tuple[np.ndarray, Any]:
    """All steps in one compiled call."""
    hidden, dtype = weight.shape[1], weight.dtype
    source = Projections(projected, indices)
    gates = aligned((source.length, 4, source.batch, hidden), dtype)
    states = aligned((source.length + 2, source.batch, hidden), dtype)
    cells = aligned((source.length + 1, source.batch, hidden), dtype)
    squashed = aligned((source.length, source.batch, hidden), dtype)
    states[0], cells[0] = h0, c0
    columns = np.ascontiguousarray(weight.T)
    kernels.named("small").forward(source.table, source.rows, columns, gates, states, cells, squashed)
    states[-1] = cells[-1]
    return states[1:], (gates, states, cells, squashed)


def _joint(
    g: np.ndarray,
    kept: Any,
    projected: np.ndarray,
    weight: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    indices: np.ndarray | None = None,
) -> list[np.ndarray]:
    if isinstance(kept, Lent):
        gradients: list[np.ndarray] = kept.room.backward(g, projected, weight, indices)
        return gradients
    gates, states, cells, squashed = kept
    length, _, batch, hidden = gates.shape
    dc = g[length].copy()
    dgates = aligned((1, length, batch, 4 * hidden), gates.dtype)  # one block of all gates, in their own order
    dh = np.zeros_like(dc)
    outputs, rows = np.ascontiguousarray(g[:length]), np.ascontiguousarray(weight)
    kernels.named("small").backward(gates, rows, states, cells, squashed, outputs, dgates[0], dh, dc)
    dweight = weight_gradient(dgates, states[:length], [0])
    return [projections_gradient(dgates, projected, indices, [0]), dweight, dh, dc]


def _composed(projected: Any, weight: Any, h0: Any, c0: Any, indices: np.ndarray | None = None) -> Any:
    h, c, outputs = h0, c0, []
    for step in unrolled(projected, indices):
        i, f, g, o = split(step + h @ weight.swapaxes(0, 1), weight.shape[1], axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        outputs.append(h)
    return stack([*outputs, c])


lstm = Fused("lstm", _forward, _joint, _composed)
"""(projections (T, B, 4H) or a table (V, 4H) with `indices` (T, B); weight (4H, H); h0, c0 (B, H))
-> (T + 1, B, H): the output h of every step, and after them the last c."""
