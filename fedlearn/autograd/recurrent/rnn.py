"""The plain recurrent layer over a whole sequence, in one op: h = tanh(x + W h), or relu (Elman 1990)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd.graph import Fused
from fedlearn.autograd.ops import relu, stack, tanh
from fedlearn.autograd.recurrent.layout import (
    Projections,
    aligned,
    matrices,
    projections_gradient,
    row_numbers,
    unrolled,
    weight_gradient,
)
from fedlearn.autograd.recurrent.products import times


def _forward(
    projected: np.ndarray, weight: np.ndarray, h0: np.ndarray, nonlinearity: str, indices: np.ndarray | None = None
) -> tuple[np.ndarray, Any]:
    if indices is not None:
        indices = row_numbers(indices, projected)
    source = Projections(projected, indices)
    multiply = times(matrices(weight).swapaxes(1, 2), source.batch)
    states = aligned((source.length + 1, source.batch, len(weight)), weight.dtype)
    recalled = aligned((1, *states.shape[1:]), weight.dtype)
    states[0] = h0
    for known, before, h in zip(source, states, states[1:], strict=False):
        multiply(before, recalled)
        np.add(known, recalled[0], out=h)
        if nonlinearity == "tanh":
            np.tanh(h, out=h)
        else:
            np.maximum(h, 0, out=h)
    return states[1:], states


def _joint(
    g: np.ndarray,
    states: np.ndarray,
    projected: np.ndarray,
    weight: np.ndarray,
    h0: np.ndarray,
    nonlinearity: str,
    indices: np.ndarray | None = None,
) -> list[np.ndarray]:
    multiply = times(matrices(weight), len(h0))
    dgates = aligned((1, *g.shape), weight.dtype)
    dh = np.zeros((1, *h0.shape), weight.dtype)
    for t in range(len(g) - 1, -1, -1):
        h = states[t + 1]
        dh += g[t]
        np.multiply(dh[0], 1 - h * h if nonlinearity == "tanh" else h > 0, out=dgates[0, t])
        multiply(dgates[:, t], dh)
    dweight = weight_gradient(dgates, states[:-1], [0])
    return [projections_gradient(dgates, projected, indices, [0]), dweight, dh[0]]


def _composed(projected: Any, weight: Any, h0: Any, nonlinearity: str, indices: np.ndarray | None = None) -> Any:
    squash = tanh if nonlinearity == "tanh" else relu
    h, outputs = h0, []
    for step in unrolled(projected, indices):
        h = squash(step + h @ weight.swapaxes(0, 1))
        outputs.append(h)
    return stack(outputs)


rnn = Fused("rnn", _forward, _joint, _composed)
"""(projections (T, B, H) or a table (V, H) with `indices` (T, B); weight (H, H); h0 (B, H)) -> (T, B, H)."""
