"""Long short-term memory over a whole sequence, in one op (Hochreiter and Schmidhuber 1997; gates as PyTorch's).

i, f, o = sigmoid; g = tanh; c = f c + i g; h = o tanh(c). Gates stand in the order i, f, g, o along the last axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused
from fedlearn.autograd.ops import sigmoid, split, stack, tanh
from fedlearn.autograd.recurrent import plan
from fedlearn.autograd.recurrent.layout import (
    Projections,
    aligned,
    matrices,
    projections_gradient,
    unrolled,
    weight_gradient,
)

WITHIN = [0, 1, 3, 2]  # the gates' order within the loop over steps: i, f, o, g


def _forward(
    projected: np.ndarray, weight: np.ndarray, h0: np.ndarray, c0: np.ndarray, indices: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    hidden, dtype = weight.shape[1], weight.dtype
    source = Projections(projected, indices)
    gates = aligned((source.length, 4, source.batch, hidden), dtype)
    states = aligned((source.length + 2, source.batch, hidden), dtype)  # h0, h of every step, the last c
    cells = aligned((source.length + 1, source.batch, hidden), dtype)  # c0, c of every step
    squashed = aligned((source.length, source.batch, hidden), dtype)  # tanh(c) of every step
    states[0], cells[0] = h0, c0
    if plan.whole_sequences(weight, source.batch):
        columns = np.ascontiguousarray(weight.T)
        plan.kernels("small").forward(source.table, source.rows, columns, gates, states, cells, squashed)
    else:
        _run(source, weight, gates, states, cells, squashed)
    states[-1] = cells[-1]
    return states[1:], (gates, states, cells, squashed)


def _run(
    source: Projections,
    weight: np.ndarray,
    gates: np.ndarray,
    states: np.ndarray,
    cells: np.ndarray,
    squashed: np.ndarray,
) -> None:
    # sigmoid(x) = tanh(x / 2) / 2 + 1/2, so that one tanh serves all gates; halving first rounds nothing.
    halves = np.array([0.5, 0.5, 0.5, 1], gates.dtype)[:, None, None]
    multiply = plan.times(matrices(weight)[WITHIN].swapaxes(1, 2) * halves, source.batch)
    lstm_cell = plan.pointwise().lstm_cell
    recalled = aligned(gates.shape[1:], gates.dtype)
    steps = zip(source.by_gate(WITHIN, halves), gates, states, states[1:], cells, cells[1:], squashed, strict=False)
    for known, gate, h_before, h, c_before, c, tanh_c in steps:
        multiply(h_before, recalled)
        np.add(known, recalled, out=gate)
        np.tanh(gate, out=gate)
        lstm_cell(gate, c_before, c)
        np.tanh(c, out=tanh_c)
        np.multiply(gate[2], tanh_c, out=h)


def _joint(
    g: np.ndarray,
    kept: Any,
    projected: np.ndarray,
    weight: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    indices: np.ndarray | None = None,
) -> list[np.ndarray]:
    gates, states, cells, squashed = kept
    length, _, batch, hidden = gates.shape
    outputs, dc = g[:length], g[length].copy()
    if plan.whole_sequences(weight, batch):
        dgates = aligned((1, length, batch, 4 * hidden), gates.dtype)
        dh = np.zeros_like(dc)
        outputs, rows = np.ascontiguousarray(outputs), np.ascontiguousarray(weight)
        plan.kernels("small").backward(gates, rows, states, cells, squashed, outputs, dgates[0], dh, dc)
        order = [0]  # one block of all gates, in their own order
    else:
        dgates = aligned((4, length, batch, hidden), gates.dtype)
        dh = _run_back(gates, weight, cells, squashed, outputs, dgates, dc)
        order = WITHIN
    dweight = weight_gradient(dgates, states[:length], order)
    return [projections_gradient(dgates, projected, indices, order), dweight, dh, dc]


def _run_back(
    gates: np.ndarray,
    weight: np.ndarray,
    cells: np.ndarray,
    squashed: np.ndarray,
    outputs: np.ndarray,
    dgates: np.ndarray,
    dc: np.ndarray,
) -> Any:
    multiply = plan.times(matrices(weight)[WITHIN], gates.shape[2])
    cell_back = plan.pointwise().lstm_cell_back
    room = aligned((2, *gates.shape[1:]), gates.dtype)
    shares = aligned(gates.shape[1:], gates.dtype)  # of the gradient of h, from each gate of the next step
    shares[...] = 0
    steps = zip(gates, squashed, cells, outputs, strict=False)
    for t, (gate, tanh_c, c_before, dh) in reversed(list(enumerate(steps))):
        cell_back(gate, tanh_c, c_before, dh, shares, dc, dgates, t, room)
        multiply(dgates[:, t], shares)
    return np.add.reduce(shares, axis=0)


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
