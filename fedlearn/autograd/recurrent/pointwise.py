"""The elementwise part of an LSTM step, in NumPy. `compiled` has the same functions by numba, to the same bits.

One step's arrays: gate (4, B, H), in the order i, f, o, g, so that each is one block and the sigmoids are together; c
before and after it, tanh(c) (B, H).
"""

from __future__ import annotations

import numpy as np


def lstm_cell(gate: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    """From tanh of the sums, halved for i, f and o: makes sigmoids of these, and writes f c + i g to `after`."""
    i, f, _, new = gate
    sigmoids = gate[:3]
    sigmoids *= 0.5
    sigmoids += 0.5
    np.multiply(f, before, out=after)
    after += i * new


def lstm_cell_back(
    gate: np.ndarray,
    squashed: np.ndarray,
    before: np.ndarray,
    g: np.ndarray,
    shares: np.ndarray,
    dc: np.ndarray,
    dgates: np.ndarray,
    t: int,
    room: np.ndarray,
) -> None:
    """Writes the gradient of the sums to step t of `dgates` (4, T, B, H), and turns `dc`, that of this step's c, into
    that of the one before.

    The gradient of h is g, from the output, and the sum of `shares` (4, B, H), from each gate of the next step.
    room (2, 4, B, H) is overwritten.
    """
    i, f, o, new = gate
    left, right = room  # what to subtract from what: s - s s is the slope of a sigmoid, 1 - s s that of a tanh
    dh = np.add(shares[0], shares[1], out=right[0])
    dh += shares[2]
    dh += shares[3]
    dh += g
    dh *= o
    dc += dh  # c is reached through the next c, and through h = o tanh(c)
    np.multiply(dh, squashed, out=left[2])
    dc -= np.multiply(left[2], squashed, out=right[1])
    np.multiply(dc, i, out=left[3])
    np.multiply(left[3], new, out=left[0])
    dc *= f
    np.multiply(dc, before, out=left[1])
    np.multiply(left[:3], gate[:3], out=right[:3])
    np.multiply(left[0], new, out=right[3])
    np.subtract(left, right, out=dgates[:, t])
