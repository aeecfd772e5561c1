"""The elementwise part of an LSTM step, in NumPy. `compiled` has the same by numba, to the same bits.

A step's planes are (5, B, H): the gates i, f, o, g and the c before it, so that what meets in a product lies side by
side: i g and f c are one call. Each function gives the calls of a step, bound to its arrays.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from fedlearn.autograd.recurrent.rooms import Call


def sums_of_rows(
    table: np.ndarray, places: np.ndarray, known: np.ndarray, parts: np.ndarray, gates: np.ndarray
) -> list[Call]:
    """Writes the rows of `table` (V, H) at places (4, B), plus parts (4, B, H), to `gates`; overwrites `known`."""
    return [partial(table.take, places, 0, known, "clip"), partial(np.add, known, parts, gates)]


def lstm_cell(planes: np.ndarray, after: np.ndarray, room: np.ndarray) -> list[Call]:
    """From tanh of the sums, halved for i, f and o: makes sigmoids of these, and writes f c + i g to `after` (B, H).

    room (4, B, H) is overwritten.
    """
    sigmoids, half = planes[:3], np.array(0.5, planes.dtype)
    return [
        partial(np.multiply, sigmoids, half, sigmoids),
        partial(np.add, sigmoids, half, sigmoids),
        partial(np.multiply, planes[:2], planes[3:], room[:2]),
        partial(np.add, room[1], room[0], after),
    ]


def lstm_cell_back(
    planes: np.ndarray,
    h: np.ndarray,
    slope: np.ndarray,
    g: np.ndarray,
    shares: np.ndarray,
    dc: np.ndarray,
    back: np.ndarray,
    dgates: np.ndarray,
    t: int,
    room: np.ndarray,
) -> list[Call]:
    """Writes the gradient of the sums to step t of `dgates` (4, T, B, H), and that of the c before to `back[4]`.

    The gradient of h is g, from the output, and the sum of `shares` (1 or 4, B, H), from the gates of the next step;
    that of this step's c, as far as it is reached through the next c, is `dc` (B, H), which is overwritten, and so are
    `back` (5, B, H) and room (4, B, H). slope (B, H): of h by c.
    """
    dh = room[0]
    first, second, *more = *shares, g
    return [
        partial(np.add, first, second, dh),
        *(partial(np.add, dh, share, dh) for share in more),
        partial(np.multiply, dh, h, back[2]),
        partial(np.multiply, dh, slope, dh),
        partial(np.add, dc, dh, dc),  # c is reached through the next c, and through h
        partial(np.multiply, dc, planes[0], back[3]),  # two calls: one that repeats dc takes twice as long
        partial(np.multiply, dc, planes[1], back[4]),
        partial(np.multiply, back[3:], planes[3:], back[:2]),
        # what to subtract from what: s - s s is the slope of a sigmoid, 1 - s s that of a tanh
        partial(np.multiply, back[:3], planes[:3], room[:3]),
        partial(np.multiply, back[0], planes[3], room[3]),
        *_difference(back[:4], room, dgates[:, t]),
    ]


def _difference(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> list[Call]:
    """Writes a - b, each (G, B, H), to `out`; may overwrite b."""
    if out[0].flags.c_contiguous:
        return [partial(np.subtract, a, b, out)]
    return [partial(np.subtract, a, b, b), partial(out.__setitem__, ..., b)]  # quicker than with rows that lie apart
