"""Whole LSTM sequences compiled by numba, for layers so small that calling NumPy is most of the work.

Layouts as in `layout`: gates (T, 4, B, H) in the order i, f, g, o. float32 only. Products go to the BLAS that numba
takes from SciPy; they are too small for it to use threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit  # type: ignore[import-not-found, unused-ignore]


def _compile(function: Any) -> Any:
    return njit(cache=True, error_model="numpy", fastmath={"contract"})(function)


@_compile
def _tanh(x: Any) -> Any:
    """A quotient of polynomials in float32, right to 3e-7 (coefficients of Eigen's `generic_fast_tanh_float`)."""
    x = min(max(x, np.float32(-7.9)), np.float32(7.9))
    s = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return x * p / q


@_compile
def _flat(steps: np.ndarray) -> np.ndarray:
    """All rows of a step (..., B, H) one after another, (..., B H): loops are long, and few slices are taken."""
    rows = (steps.shape[-2] * steps.shape[-1],)
    return steps.reshape(steps.shape[:-2] + rows)  # numba unpacks no tuples


@_compile
def forward(
    table: np.ndarray,
    rows: np.ndarray,
    weight: np.ndarray,
    gates: np.ndarray,
    states: np.ndarray,
    cells: np.ndarray,
    squashed: np.ndarray,
) -> None:
    """Run the sequence; the projections are the rows (T, B) of `table` (V, 4H), and `weight` is (H, 4H)."""
    length, _, batch, hidden = gates.shape
    half = np.float32(0.5)
    sums = np.empty((batch, 4 * hidden), np.float32)
    planes, h_of, c_of, tanh_c_of = _flat(gates), _flat(states), _flat(cells), _flat(squashed)
    for t in range(length):
        np.dot(states[t], weight, sums)
        i, f, g, o = planes[t, 0], planes[t, 1], planes[t, 2], planes[t, 3]
        before, after, tanh_c, h = c_of[t], c_of[t + 1], tanh_c_of[t], h_of[t + 1]
        for b in range(batch):
            total, known, k = sums[b], table[rows[t, b]], b * hidden
            for j in range(4 * hidden):
                total[j] += known[j]
            for j in range(hidden):
                i[k + j] = _tanh(total[j] * half) * half + half
            for j in range(hidden):
                f[k + j] = _tanh(total[hidden + j] * half) * half + half
            for j in range(hidden):
                g[k + j] = _tanh(total[2 * hidden + j])
            for j in range(hidden):
                o[k + j] = _tanh(total[3 * hidden + j] * half) * half + half
        for j in range(batch * hidden):
            after[j] = f[j] * before[j] + i[j] * g[j]
        for j in range(batch * hidden):
            tanh_c[j] = _tanh(after[j])
        for j in range(batch * hidden):
            h[j] = o[j] * tanh_c[j]


@_compile
def backward(
    gates: np.ndarray,
    weight: np.ndarray,
    states: np.ndarray,
    cells: np.ndarray,
    squashed: np.ndarray,
    outputs: np.ndarray,
    dgates: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
) -> None:
    """The way back: `outputs` (T, B, H) are the gradients of all h, `weight` is (4H, H). Fills `dgates` (T, B, 4H).

    `dh` and `dc` (B, H) come in as the gradients of the last state and leave as those of the first.
    """
    length, _, batch, hidden = gates.shape
    one = np.float32(1)
    planes, h_of, c_of, tanh_c_of, g_of = _flat(gates), _flat(states), _flat(cells), _flat(squashed), _flat(outputs)
    share, cell = dh.reshape(batch * hidden), dc.reshape(batch * hidden)
    for t in range(length - 1, -1, -1):
        i, f, g, o = planes[t, 0], planes[t, 1], planes[t, 2], planes[t, 3]
        h, before, tanh_c, output = h_of[t + 1], c_of[t], tanh_c_of[t], g_of[t]
        for j in range(batch * hidden):
            share[j] += output[j]
        for j in range(batch * hidden):
            cell[j] += o[j] * share[j] - h[j] * (share[j] * tanh_c[j])
        for b in range(batch):
            all_four, k = dgates[t, b], b * hidden
            for j in range(hidden):
                all_four[j] = cell[k + j] * g[k + j] * (i[k + j] - i[k + j] * i[k + j])
            for j in range(hidden):
                all_four[hidden + j] = cell[k + j] * before[k + j] * (f[k + j] - f[k + j] * f[k + j])
            for j in range(hidden):
                all_four[2 * hidden + j] = cell[k + j] * i[k + j] * (one - g[k + j] * g[k + j])
            for j in range(hidden):
                all_four[3 * hidden + j] = share[k + j] * tanh_c[k + j] * (o[k + j] - o[k + j] * o[k + j])
        for j in range(batch * hidden):
            cell[j] *= f[j]
        np.dot(dgates[t], weight, dh)
