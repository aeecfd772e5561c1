"""Whole LSTM sequences compiled by numba, for layers so small that calling NumPy is most of the work.

Layouts as in `layout`: gates (T, 4, B, H) in the order i, f, o, g. float32 only.
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
def _add_product(a: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """out (B, N) += a (B, K) @ matrix (K, N), K a multiple of 4: two rows by four, then the last row if B is odd."""
    even = a.shape[0] // 2 * 2
    for b in range(0, even, 2):
        for i in range(0, a.shape[1], 4):
            a0, a1, a2, a3 = a[b, i], a[b, i + 1], a[b, i + 2], a[b, i + 3]
            c0, c1, c2, c3 = a[b + 1, i], a[b + 1, i + 1], a[b + 1, i + 2], a[b + 1, i + 3]
            for j in range(out.shape[1]):
                m0, m1, m2, m3 = matrix[i, j], matrix[i + 1, j], matrix[i + 2, j], matrix[i + 3, j]
                out[b, j] += a0 * m0 + a1 * m1 + a2 * m2 + a3 * m3
                out[b + 1, j] += c0 * m0 + c1 * m1 + c2 * m2 + c3 * m3
    for b in range(even, a.shape[0]):
        for i in range(0, a.shape[1], 4):
            a0, a1, a2, a3 = a[b, i], a[b, i + 1], a[b, i + 2], a[b, i + 3]
            for j in range(out.shape[1]):
                out[b, j] += a0 * matrix[i, j] + a1 * matrix[i + 1, j] + a2 * matrix[i + 2, j] + a3 * matrix[i + 3, j]


@_compile
def forward(gates: np.ndarray, weight: np.ndarray, states: np.ndarray, cells: np.ndarray, squashed: np.ndarray) -> None:
    """Run the sequence: `gates` hold the halved projections, `weight` (4, H, H) is halved and transposed."""
    length, _, batch, hidden = gates.shape
    half = np.float32(0.5)
    for t in range(length):
        gate = gates[t]
        for k in range(4):
            _add_product(states[t], weight[k], gate[k])
        for b in range(batch):
            i, f, o, g = gate[0, b], gate[1, b], gate[2, b], gate[3, b]
            before, after, tanh_c, h = cells[t, b], cells[t + 1, b], squashed[t, b], states[t + 1, b]
            for j in range(hidden):
                i[j] = _tanh(i[j]) * half + half
                f[j] = _tanh(f[j]) * half + half
                o[j] = _tanh(o[j]) * half + half
                g[j] = _tanh(g[j])
                after[j] = f[j] * before[j] + i[j] * g[j]
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
    """The way back: `outputs` (T, B, H) are the gradients of all h. Fills `dgates` (4, T, B, H).

    `dh` and `dc` (B, H) come in as the gradients of the last state and leave as those of the first.
    """
    length, _, batch, hidden = gates.shape
    one = np.float32(1)
    for t in range(length - 1, -1, -1):
        for b in range(batch):
            i, f, o, g = gates[t, 0, b], gates[t, 1, b], gates[t, 2, b], gates[t, 3, b]
            di, df, do, dg = dgates[0, t, b], dgates[1, t, b], dgates[2, t, b], dgates[3, t, b]
            for j in range(hidden):
                share = dh[b, j] + outputs[t, b, j]
                through = share * squashed[t, b, j]
                cell = dc[b, j] + o[j] * share - states[t + 1, b, j] * through
                di[j] = cell * g[j] * (i[j] - i[j] * i[j])
                df[j] = cell * cells[t, b, j] * (f[j] - f[j] * f[j])
                do[j] = through * (o[j] - o[j] * o[j])
                dg[j] = cell * i[j] * (one - g[j] * g[j])
                dc[b, j] = cell * f[j]
                dh[b, j] = 0
        for k in range(4):
            _add_product(dgates[k, t], weight[k], dh)
