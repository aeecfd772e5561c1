"""The elementwise part of an LSTM step, in NumPy. `compiled` has the same functions by numba.

One step's arrays: gate (4, B, H) in the order i, f, o, g; c before and after it, tanh(c) and h (B, H).
"""

from __future__ import annotations

import numpy as np


def lstm_cell(gate: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    """From tanh of the (halved) sums in `gate`: makes sigmoids of the first three, and writes f c + i g to `after`."""
    sigmoids = gate[:3]
    sigmoids *= 0.5
    sigmoids += 0.5
    np.multiply(gate[1], before, out=after)
    after += gate[0] * gate[3]


def lstm_cell_back(
    gate: np.ndarray,
    squashed: np.ndarray,
    h: np.ndarray,
    before: np.ndarray,
    g: np.ndarray,
    shares: np.ndarray,
    dc: np.ndarray,
    dgate: np.ndarray,
) -> None:
    """Writes the gradient of the sums to `dgate`, and turns `dc`, that of this step's c, into that of the one before.

    The gradient of h is g, from the output, and the sum of `shares` (4, B, H), from each gate of the next step.
    """
    i, f, o, new = gate
    step = np.empty_like(gate)
    dh = np.add.reduce(shares, axis=0)
    dh += g
    np.multiply(dh, squashed, out=step[2])
    dc += o * dh  # c is reached through the next c, and through h = o tanh(c):
    dc -= h * step[2]  # dh o (1 - tanh(c)^2) = dh o - dh tanh(c) h
    np.multiply(dc, new, out=step[0])
    np.multiply(dc, before, out=step[1])
    np.multiply(dc, i, out=step[3])
    slope = gate * gate  # s - s s is the slope of a sigmoid, 1 - s s that of a tanh
    np.subtract(gate[:3], slope[:3], out=slope[:3])
    np.subtract(1, slope[3], out=slope[3])
    np.multiply(step, slope, out=dgate)
    dc *= f
