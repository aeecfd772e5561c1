"""Long short-term memory over a whole sequence, in one op (Hochreiter and Schmidhuber 1997; gates as PyTorch's).

i, f, o = sigmoid; g = tanh; c = f c + i g; h = o tanh(c). Gates stand in the order i, f, g, o along the last axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused
from fedlearn.autograd.ops import sigmoid, split, stack, tanh
from fedlearn.autograd.recurrent import buffers, plan
from fedlearn.autograd.recurrent.source import Projections, projections_gradient, unrolled


def _halves(hidden: int, dtype: Any) -> np.ndarray:
    """1/2 for the sigmoid gates and 1 for g: sigmoid(x) = tanh(x / 2) / 2 + 1/2, so one tanh serves all four."""
    scale = np.full(4 * hidden, 0.5, dtype)
    scale[2 * hidden : 3 * hidden] = 1
    return scale


def _forward(
    projected: np.ndarray, weight: np.ndarray, h0: np.ndarray, c0: np.ndarray, indices: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    hidden, dtype = weight.shape[1], weight.dtype
    scale = _halves(hidden, dtype)
    source = Projections(projected, indices, scale)
    length, batch = source.length, source.batch
    multiply = plan.times(weight.T * scale, plan.current().forward_block)
    gates = buffers.empty((length, batch, 4 * hidden), dtype)
    states = buffers.empty((length + 2, batch, hidden), dtype)  # h0, h of every step, the last c
    cells = buffers.empty((length + 1, batch, hidden), dtype)  # c0, c of every step
    squashed = buffers.empty((length, batch, hidden), dtype)  # tanh(c) of every step
    product = buffers.empty((batch, 4 * hidden), dtype)
    fresh = buffers.empty((batch, hidden), dtype)
    states[0], cells[0] = h0, c0
    for t in range(length):
        gate = gates[t]
        source.into(gate, t)
        multiply(states[t], product)
        gate += product
        np.tanh(gate, out=gate)
        for sigmoids in (gate[:, : 2 * hidden], gate[:, 3 * hidden :]):
            sigmoids *= 0.5
            sigmoids += 0.5
        np.multiply(gate[:, hidden : 2 * hidden], cells[t], out=cells[t + 1])
        np.multiply(gate[:, :hidden], gate[:, 2 * hidden : 3 * hidden], out=fresh)
        cells[t + 1] += fresh
        np.tanh(cells[t + 1], out=squashed[t])
        np.multiply(gate[:, 3 * hidden :], squashed[t], out=states[t + 1])
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
    gates, states, cells, squashed = kept
    length, batch, wide = gates.shape
    hidden = weight.shape[1]
    multiply = plan.times(weight, plan.current().backward_block)
    dgates = buffers.empty(gates.shape, gates.dtype)
    slope = buffers.empty((batch, wide), weight.dtype)
    dh = np.zeros((batch, hidden), weight.dtype)
    dc = g[length].copy()
    part = buffers.empty(dh.shape, dh.dtype)
    for t in range(length - 1, -1, -1):
        gate, dgate = gates[t], dgates[t]
        dh += g[t]
        # c is reached from h by way of tanh, and from the next c
        np.multiply(squashed[t], squashed[t], out=part)
        np.subtract(1, part, out=part)
        part *= gate[:, 3 * hidden :]
        part *= dh
        dc += part
        np.multiply(dc, gate[:, 2 * hidden : 3 * hidden], out=dgate[:, :hidden])
        np.multiply(dc, cells[t], out=dgate[:, hidden : 2 * hidden])
        np.multiply(dc, gate[:, :hidden], out=dgate[:, 2 * hidden : 3 * hidden])
        np.multiply(dh, squashed[t], out=dgate[:, 3 * hidden :])
        # slopes: s - s s of a sigmoid, 1 - s s of a tanh
        np.multiply(gate, gate, out=slope)
        np.subtract(gate, slope, out=slope)
        g_gate, g_slope = gate[:, 2 * hidden : 3 * hidden], slope[:, 2 * hidden : 3 * hidden]
        g_slope -= g_gate
        g_slope += 1
        dgate *= slope
        dc *= gate[:, hidden : 2 * hidden]
        multiply(dgate, dh)
    dweight = dgates.reshape(-1, wide).T @ states[:length].reshape(-1, hidden)
    return [projections_gradient(dgates, projected, indices), dweight, dh, dc]


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
