"""Gated recurrent units over a whole sequence, in one op (Cho et al. 2014, in PyTorch's form).

r, z = sigmoid; n = tanh(x_n + r (W_n h + b_n)); h = (1 - z) n + z h. Gates stand in the order r, z, n.
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
    by_gate,
    matrices,
    projections_gradient,
    unrolled,
    weight_gradient,
)


def _forward(
    projected: np.ndarray, weight: np.ndarray, bias: np.ndarray, h0: np.ndarray, indices: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    hidden, dtype = weight.shape[1], weight.dtype
    source = Projections(projected, indices)
    length, batch = source.length, source.batch
    multiply = plan.times(matrices(weight).swapaxes(1, 2), batch)
    gates = aligned((length, batch, 3 * hidden), dtype)
    recalled = aligned(gates.shape, dtype)  # W h + b of every step
    states = aligned((length + 1, batch, hidden), dtype)  # h0, h of every step
    part = np.empty((batch, hidden), dtype)
    states[0] = h0
    for t, known in enumerate(source):
        gate, recall, h = gates[t], recalled[t], states[t + 1]
        multiply(states[t], by_gate(recall, 3))
        recall += bias
        gate[...] = known
        sigmoids, n = gate[:, : 2 * hidden], gate[:, 2 * hidden :]
        sigmoids += recall[:, : 2 * hidden]
        sigmoids *= 0.5  # sigmoid(x) = tanh(x / 2) / 2 + 1/2
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= 0.5
        sigmoids += 0.5
        np.multiply(gate[:, :hidden], recall[:, 2 * hidden :], out=part)
        n += part
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
    length, batch, _ = gates.shape
    multiply = plan.times(matrices(weight), batch)
    dgates = aligned((3, length, *h0.shape), gates.dtype)
    drecalled = aligned(dgates.shape, gates.dtype)  # differs from dgates in n, which r stands before
    slope, shares = aligned((2, 3, *h0.shape), gates.dtype)
    dh = np.zeros(h0.shape, gates.dtype)
    for t in range(length - 1, -1, -1):
        r, z, n = gate = by_gate(gates[t], 3)
        dr, dz, dn = dgate = dgates[:, t]
        drecall = drecalled[:, t]
        dh += g[t]
        np.multiply(gate, gate, out=slope)  # s - s s is the slope of a sigmoid, 1 - s s that of a tanh
        np.subtract(gate[:2], slope[:2], out=slope[:2])
        np.subtract(1, slope[2], out=slope[2])
        np.subtract(1, z, out=dn)
        dn *= dh
        dn *= slope[2]
        np.multiply(dn, by_gate(recalled[t], 3)[2], out=dr)
        np.subtract(states[t], n, out=dz)
        dz *= dh
        dgate[:2] *= slope[:2]
        drecall[:2] = dgate[:2]
        np.multiply(dn, r, out=drecall[2])
        multiply(drecall, shares)
        dh *= z
        for share in shares:
            dh += share
    dweight = weight_gradient(drecalled, states[:length], range(3))
    return [projections_gradient(dgates, projected, indices, range(3)), dweight, drecalled.sum(axis=(1, 2)).ravel(), dh]


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
