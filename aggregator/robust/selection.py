"""The middle values of many columns at once, compiled by numba (extra `fast`): the median without a sort.

A sorting network (Batcher 1968, "Sorting networks and their applications") compares the same rows whatever they hold,
so a processor does it for many columns at a time, where they lie. Only what the middle rows depend on is kept of it.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-not-found, import-untyped, unused-ignore]
from numba import njit, types  # type: ignore[import-not-found, unused-ignore]
from numba.extending import intrinsic  # type: ignore[import-not-found, unused-ignore]

from fedlearn.autograd.recurrent.layout import aligned

STRIP = 64  # columns at a time: 100 rows of them fit a processor's nearest cache


def middles(block: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Of finite columns, float32 (n, width or more): the lower and the upper middle value into low, high (width,)."""
    n = len(block)
    _select(block, network(n), aligned((n, STRIP), np.float32), low, high)


@cache
def network(n: int) -> np.ndarray:
    """Pairs of rows to put in order, one after the other, until the middle rows of n hold their values: (pairs, 2)."""
    needed, kept = {(n - 1) // 2, n // 2}, []
    for pair in reversed(_merge_exchange(n)):
        if needed & set(pair):
            needed |= set(pair)
            kept.append(pair)
    return np.array(kept[::-1], np.uint16).reshape(-1, 2)  # short, to leave the cache to the rows


def _merge_exchange(n: int) -> list[tuple[int, int]]:
    """Batcher's merge exchange for any n, Knuth's Algorithm 5.2.2M."""
    pairs, top = [], 1 << max(0, (n - 1).bit_length() - 1)
    p = top
    while p:
        q, r, apart = top, 0, p
        while True:
            pairs += [(i, i + apart) for i in range(n - apart) if i & p == r]
            if q == p:
                break
            apart, q, r = q - p, q >> 1, p
        p >>= 1
    return pairs


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _put_in_order(typing: Any, rows: Any, a: Any, b: Any) -> Any:
    """Of rows a and b of float32 (n, STRIP), in each column the lower value to a, the higher to b.

    Written as one vector of a whole row: left to itself, LLVM takes half of a wide register at a time.
    """

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        row = ir.VectorType(ir.FloatType(), STRIP)
        first = builder.bitcast(
            context.make_array(signature.args[0])(context, builder, given[0]).data, row.as_pointer()
        )
        at_a, at_b = (builder.gep(first, [number]) for number in given[1:])
        u, v = (builder.load(place, align=4) for place in (at_a, at_b))
        builder.store(builder.select(builder.fcmp_ordered("<", u, v), u, v), at_a, align=4)
        builder.store(builder.select(builder.fcmp_ordered(">", u, v), u, v), at_b, align=4)
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp), generate


@njit(error_model="numpy")  # type: ignore[untyped-decorator, unused-ignore]
def _select(block: np.ndarray, pairs: np.ndarray, rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    n, width = len(rows), len(low)
    for begin in range(0, width, STRIP):
        strip = min(STRIP, width - begin)
        for i in range(n):
            for c in range(strip):
                rows[i, c] = block[i, begin + c]
        for t in range(len(pairs)):
            _put_in_order(rows, np.intp(pairs[t, 0]), np.intp(pairs[t, 1]))  # type: ignore[call-arg, unused-ignore]
        for c in range(strip):
            low[begin + c], high[begin + c] = rows[(n - 1) // 2, c], rows[n // 2, c]


with suppress(RuntimeError):  # where nothing can be written it is compiled anew by every process
    _select.enable_caching()
