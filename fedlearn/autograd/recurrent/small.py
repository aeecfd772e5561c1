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
    for t in range(length):
        np.dot(states[t], weight, sums)
        for b in range(batch):
            sums[b] += table[rows[t, b]]
            for n in range(4):
                gate, total = gates[t, n, b], sums[b, n * hidden : (n + 1) * hidden]
                if n == 2:
                    for j in range(hidden):
                        gate[j] = _tanh(total[j])
                else:
                    for j in range(hidden):
                        gate[j] = _tanh(total[j] * half) * half + half
            i, f, g, o = gates[t, 0, b], gates[t, 1, b], gates[t, 2, b], gates[t, 3, b]
            before, after, tanh_c, h = cells[t, b], cells[t + 1, b], squashed[t, b], states[t + 1, b]
            for j in range(hidden):
                after[j] = f[j] * before[j] + i[j] * g[j]
            for j in range(hidden):
                tanh_c[j] = _tanh(after[j])
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
    for t in range(length - 1, -1, -1):
        for b in range(batch):
            i, f, g, o = gates[t, 0, b], gates[t, 1, b], gates[t, 2, b], gates[t, 3, b]
            all_four = dgates[t, b]
            di, df = all_four[:hidden], all_four[hidden : 2 * hidden]
            dg, do = all_four[2 * hidden : 3 * hidden], all_four[3 * hidden :]
            share, cell, tanh_c, h, before = dh[b], dc[b], squashed[t, b], states[t + 1, b], cells[t, b]
            for j in range(hidden):
                share[j] += outputs[t, b, j]
            for j in range(hidden):
                cell[j] += o[j] * share[j] - h[j] * (share[j] * tanh_c[j])
            for j in range(hidden):
                do[j] = share[j] * tanh_c[j] * (o[j] - o[j] * o[j])
            for j in range(hidden):
                di[j] = cell[j] * g[j] * (i[j] - i[j] * i[j])
                dg[j] = cell[j] * i[j] * (one - g[j] * g[j])
            for j in range(hidden):
                df[j] = cell[j] * before[j] * (f[j] - f[j] * f[j])
                cell[j] *= f[j]
        np.dot(dgates[t], weight, dh)
