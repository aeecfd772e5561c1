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
    arranged,
    projections_gradient,
    unrolled,
    weight_gradient,
)

ORDER = (0, 1, 3, 2)  # i, f, o, g: the three sigmoids together
HALVES = (0.5, 0.5, 0.5, 1.0)  # sigmoid(x) = tanh(x / 2) / 2 + 1/2, so one tanh serves all four gates


def _forward(
    projected: np.ndarray, weight: np.ndarray, h0: np.ndarray, c0: np.ndarray, indices: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    hidden, dtype = weight.shape[1], weight.dtype
    source = Projections(projected, indices, ORDER, HALVES)
    length, batch = source.length, source.batch
    matrices = (arranged(weight, ORDER) * np.array(HALVES, dtype)[:, None, None]).swapaxes(1, 2)
    gates = np.empty((length, 4, batch, hidden), dtype)
    states = np.empty((length + 2, batch, hidden), dtype)  # h0, h of every step, the last c
    cells = np.empty((length + 1, batch, hidden), dtype)  # c0, c of every step
    squashed = np.empty((length, batch, hidden), dtype)  # tanh(c) of every step
    states[0], cells[0] = h0, c0
    if plan.whole_sequences(weight):
        source.fill(gates)
        plan.kernels("small").forward(gates, np.ascontiguousarray(matrices), states, cells, squashed)
    else:
        _run(source, matrices, gates, states, cells, squashed)
    states[-1] = cells[-1]
    return states[1:], (gates, states, cells, squashed)


def _run(
    source: Projections,
    matrices: np.ndarray,
    gates: np.ndarray,
    states: np.ndarray,
    cells: np.ndarray,
    squashed: np.ndarray,
) -> None:
    multiply = plan.times(matrices, plan.current().forward_block)
    cell = plan.pointwise().lstm_cell
    recalled = np.empty_like(gates[0])
    for t, gate in enumerate(gates):
        source.into(gate, t)
        multiply(states[t], recalled)
        gate += recalled
        np.tanh(gate, out=gate)
        cell(gate, cells[t], cells[t + 1])
        np.tanh(cells[t + 1], out=squashed[t])
        np.multiply(gate[2], squashed[t], out=states[t + 1])


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
    matrices = arranged(weight, ORDER)
    dgates = np.empty((4, length, batch, hidden), weight.dtype)
    dh, dc = np.zeros((batch, hidden), weight.dtype), g[length].copy()
    if plan.whole_sequences(weight):
        outputs = np.ascontiguousarray(g[:length])
        plan.kernels("small").backward(gates, matrices, states, cells, squashed, outputs, dgates, dh, dc)
    else:
        _run_back(gates, matrices, states, cells, squashed, g, dgates, dh, dc)
    dweight = weight_gradient(dgates, states[:length], ORDER)
    return [projections_gradient(dgates, projected, indices, ORDER), dweight, dh, dc]


def _run_back(
    gates: np.ndarray,
    matrices: np.ndarray,
    states: np.ndarray,
    cells: np.ndarray,
    squashed: np.ndarray,
    g: np.ndarray,
    dgates: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
) -> None:
    multiply = plan.times(matrices, plan.current().backward_block)
    cell_back = plan.pointwise().lstm_cell_back
    shares = np.zeros_like(gates[0])  # of the gradient of h, from each gate of the next step
    for t in range(len(gates) - 1, -1, -1):
        cell_back(gates[t], squashed[t], states[t + 1], cells[t], g[t], shares, dc, dgates[:, t])
        multiply(dgates[:, t], shares)
    np.add.reduce(shares, axis=0, out=dh)


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
