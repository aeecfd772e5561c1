"""Gated recurrent units over a whole sequence, in one op (Cho et al. 2014, in PyTorch's form).

r, z = sigmoid; n = tanh(x_n + r (W_n h + b_n)); h = (1 - z) n + z h. Gates stand in the order r, z, n.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused
from fedlearn.autograd.ops import sigmoid, split, stack, tanh
from fedlearn.autograd.recurrent import buffers, plan
from fedlearn.autograd.recurrent.source import Projections, projections_gradient, unrolled


def _forward(
    projected: np.ndarray, weight: np.ndarray, bias: np.ndarray, h0: np.ndarray, indices: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    hidden, dtype = weight.shape[1], weight.dtype
    source = Projections(projected, indices)
    length, batch = source.length, source.batch
    multiply = plan.times(weight.T, plan.current().forward_block)
    gates = buffers.empty((length, batch, 3 * hidden), dtype)
    recalled = buffers.empty((length, batch, 3 * hidden), dtype)  # W h + b of every step
    states = buffers.empty((length + 1, batch, hidden), dtype)  # h0, h of every step
    states[0] = h0
    for t in range(length):
        gate, recall, h = gates[t], recalled[t], states[t + 1]
        source.into(gate, t)
        multiply(states[t], recall)
        recall += bias
        sigmoids, n = gate[:, : 2 * hidden], gate[:, 2 * hidden :]
        sigmoids += recall[:, : 2 * hidden]
        sigmoids *= 0.5
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= 0.5
        sigmoids += 0.5
        n += gate[:, :hidden] * recall[:, 2 * hidden :]
        np.tanh(n, out=n)
        np.subtract(states[t], n, out=h)  # h = n + z (h before - n)
        h *= gate[:, hidden : 2 * hidden]
        h += n
    return states[1:], (gates, recalled, states)


def _joint(
    g: np.ndarray,
    kept: Any,
    projected: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    h0: np.ndarray,
    indices: np.ndarray | None = None,
) -> list[np.ndarray]:
    gates, recalled, states = kept
    length, batch, wide = gates.shape
    hidden = weight.shape[1]
    multiply = plan.times(weight, plan.current().backward_block)
    dgates = buffers.empty(gates.shape, gates.dtype)
    drecalled = buffers.empty(gates.shape, gates.dtype)  # differs from dgates in n, which r stands before
    dh = np.zeros((batch, hidden), weight.dtype)
    through = buffers.empty(dh.shape, dh.dtype)
    for t in range(length - 1, -1, -1):
        dgate, drecall = dgates[t], drecalled[t]
        r, z, n = (gates[t][:, k * hidden : (k + 1) * hidden] for k in range(3))
        dr, dz, dn = (dgate[:, k * hidden : (k + 1) * hidden] for k in range(3))
        dh += g[t]
        np.subtract(1, z, out=dn)
        dn *= dh
        dn *= 1 - n * n
        np.multiply(dn, recalled[t][:, 2 * hidden :], out=dr)
        dr *= r - r * r
        np.subtract(states[t], n, out=dz)
        dz *= dh
        dz *= z - z * z
        drecall[:, : 2 * hidden] = dgate[:, : 2 * hidden]
        np.multiply(dn, r, out=drecall[:, 2 * hidden :])
        multiply(drecall, through)
        dh *= z
        dh += through
    flat = drecalled.reshape(-1, wide)
    dweight = flat.T @ states[:length].reshape(-1, hidden)
    return [projections_gradient(dgates, projected, indices), dweight, flat.sum(axis=0), dh]


def _composed(projected: Any, weight: Any, bias: Any, h0: Any, indices: np.ndarray | None = None) -> Any:
    h, outputs = h0, []
    for step in unrolled(projected, indices):
        seen = split(step, weight.shape[1], axis=-1)
        recalled = split(h @ weight.swapaxes(0, 1) + bias, weight.shape[1], axis=-1)
        r, z = sigmoid(seen[0] + recalled[0]), sigmoid(seen[1] + recalled[1])
        n = tanh(seen[2] + r * recalled[2])
        h = n + z * (h - n)
        outputs.append(h)
    return stack(outputs)


gru = Fused("gru", _forward, _joint, _composed)
"""(projections (T, B, 3H) or a table (V, 3H) with `indices` (T, B); weight (3H, H); bias (3H,); h0 (B, H))
-> (T, B, H): h of every step."""
