"""Kernels of programs with chains of elementwise calls compiled by numba (extra `fast`), for plans that ask for it.

Each compiled function makes the passes that `kept.py` makes one NumPy call each, in one: the same operations on each
number in the same order, none fused into another, so the same bits. Exponentials, logarithms and sums stay NumPy's,
whose last bits are its own. What does not lie in memory as these functions need it is NumPy's as a whole.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numba import njit  # type: ignore[import-not-found, unused-ignore]

from fedlearn.autograd import kept
from fedlearn.autograd.kept import MINUS_TWO, Builder, Kernel, Unfit


def _compile(function: Any) -> Any:
    return njit(cache=True, error_model="numpy")(function)


@_compile
def _less_largest(flat: np.ndarray, target: np.ndarray, rows: np.ndarray, taken: np.ndarray) -> None:
    """Logits (n, C) less the largest of their row, to `rows`, and what that leaves of each target's, to `taken`."""
    count, classes = flat.shape
    for i in range(count):
        if not 0 <= target[i] < classes:
            raise IndexError("a class that is not there")
        top = flat[i, 0]
        for j in range(1, classes):
            if top == top and not flat[i, j] <= top:  # nan, once met, is the largest
                top = flat[i, j]
        for j in range(classes):
            rows[i, j] = flat[i, j] - top
        taken[i] = rows[i, target[i]]


@_compile
def _to_gradient(exps: np.ndarray, total: np.ndarray, target: np.ndarray, each: np.ndarray) -> None:
    """Makes exponentials (n, C) the gradient of logits; each (K,): that of every loss of n / K examples."""
    each_has = len(exps) // len(each)
    for k in range(len(each)):
        for i in range(k * each_has, (k + 1) * each_has):
            share = each[k] / total[i]
            for j in range(exps.shape[1]):
                exps[i, j] *= share
            exps[i, target[i]] -= each[k]


@_compile
def _tanh_slope_times(z: np.ndarray, g: np.ndarray, out: np.ndarray) -> None:
    """g times 4 z / (1 + z)^2, the slope of tanh at x where z = exp(-2 |x|)."""
    for i in range(z.size):
        total = np.float32(1) + z[i]
        out[i] = g[i] * (np.float32(4) * (z[i] / (total * total)))


@_compile
def _where_positive(g: np.ndarray, y: np.ndarray) -> None:
    for i in range(g.size):
        g[i] = np.float32(0) if y[i] <= np.float32(0) else g[i]


@_compile
def _add_to_rows(rows: np.ndarray, bias: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            rows[i, j] += bias[j]


@_compile
def _bce_losses(x: np.ndarray, target: np.ndarray, log: np.ndarray, excess: np.ndarray) -> None:
    """log + x excess, to `log`, where excess is 1 - t for x from 0 on, else -t."""
    for i in range(x.size):
        excess[i] = (np.float32(1) if x[i] >= np.float32(0) else np.float32(0)) - target[i]
        log[i] += x[i] * excess[i]


@_compile
def _bce_gradient(x: np.ndarray, z: np.ndarray, excess: np.ndarray, each: np.ndarray, out: np.ndarray) -> None:
    """each (K,) times the slope of every loss, as (h - t) less or plus z / (1 + z)."""
    each_has = x.size // len(each)
    for k in range(len(each)):
        for i in range(k * each_has, (k + 1) * each_has):
            beyond = z[i] / (np.float32(1) + z[i])
            out[i] = each[k] * (excess[i] - (beyond if x[i] >= np.float32(0) else -beyond))


def _in_order(*arrays: Any) -> bool:
    return all(array.flags.c_contiguous and array.size for array in arrays)


def _linear(build: Builder, seen: np.ndarray, x: Any, weight: Any, bias: Any = None) -> Any:
    if bias is None or x.ndim != 2 or not _in_order(bias):
        return kept.linear(build, seen, x, weight, bias)
    found = kept.linear(build, seen, x, weight)
    if found is not None:
        build.call(_add_to_rows, found[0], bias)
    return found


def _relu_back(build: Builder, position: int, g: np.ndarray, y: np.ndarray, x: Any, *, room: Any) -> Any:
    if not _in_order(g, y):
        return kept.relu_back(build, position, g, y, x, room=room)
    build.call(_where_positive, g.reshape(-1), y.reshape(-1))
    return g


def _tanh_back(build: Builder, position: int, g: np.ndarray, y: np.ndarray, x: Any, *, room: Any) -> Any:
    if not kept.all_floats(g, x) or not _in_order(g):
        return kept.tanh_back(build, position, g, y, x, room=room)
    z, out = build.array(x.shape), build.array(x.shape)
    build.call(np.abs, x, z)
    build.call(np.multiply, MINUS_TWO, z, z)
    build.call(np.exp, z, z)
    build.call(_tanh_slope_times, z.reshape(-1), g.reshape(-1), out.reshape(-1))
    return out


class Exponentials(NamedTuple):
    """What a compiled cross-entropy keeps: (n, C), their sums (n,), and the targets (n,)."""

    rows: np.ndarray
    total: np.ndarray
    target: np.ndarray


def _cross_entropy(
    build: Builder, seen: np.ndarray, logits: Any, target: Any, smoothing: float = 0.0, average: bool = False
) -> Any:
    usual = kept.all_floats(logits) and average and not smoothing and target.dtype == np.int64
    if not usual or not _in_order(logits, target):
        return kept.cross_entropy(build, seen, logits, target, smoothing, average)
    flat, places = logits.reshape(-1, logits.shape[-1]), target.reshape(-1)
    rows, total, taken = build.array(flat.shape), build.array(places.shape), build.array(places.shape)
    build.call(_less_largest, flat, places, rows, taken)
    build.call(np.exp, rows, rows)
    build.call(np.add.reduce, rows, -1, None, total)
    mean = kept.mean_loss(build, seen, total.reshape(target.shape), taken.reshape(target.shape))
    return mean, Exponentials(rows, total, places)


def _cross_entropy_back(
    build: Builder, position: int, g: np.ndarray, known: Any, logits: Any, target: Any, *, room: Any, **params: Any
) -> Any:
    if not isinstance(known, Exponentials):
        return kept.cross_entropy_back(build, position, g, known, logits, target, room=room, **params)
    each = kept.share_of(build, g, target.shape[-1])
    build.call(_to_gradient, *known, each.reshape(-1))
    return known.rows.reshape(logits.shape)


class Excess(NamedTuple):
    """What a compiled binary cross-entropy keeps: exp(-|x|), and h - t."""

    z: np.ndarray
    excess: np.ndarray


def _bce(build: Builder, seen: np.ndarray, x: Any, target: Any, average: int = 0) -> Any:
    if not kept.all_floats(x, target) or not average or x.shape != target.shape or not _in_order(x, target):
        return kept.bce(build, seen, x, target, average)
    z, losses = kept.tails(build, x)
    excess = build.array(x.shape)
    build.call(_bce_losses, x.reshape(-1), target.reshape(-1), losses.reshape(-1), excess.reshape(-1))
    each = losses.reshape(*x.shape[:-average], prod(x.shape[-average:]))
    return kept.mean_of(build, seen, each), Excess(z, excess)


def _bce_back(
    build: Builder, position: int, g: np.ndarray, known: Any, x: Any, target: Any, average: int = 0, *, room: Any
) -> Any:
    if not isinstance(known, Excess):
        return kept.bce_back(build, position, g, known, x, target, average, room=room)
    if position:
        raise Unfit("targets that want a gradient")
    each, back = kept.share_of(build, g, prod(x.shape[-average:])), build.array(x.shape)
    z, excess = known
    build.call(_bce_gradient, x.reshape(-1), z.reshape(-1), excess.reshape(-1), each.reshape(-1), back.reshape(-1))
    return back


KERNELS = {
    "linear": Kernel(_linear, kept.linear_back),
    "relu": Kernel(kept.relu, _relu_back),
    "tanh": Kernel(kept.tanh, _tanh_back),
    "cross_entropy": Kernel(_cross_entropy, _cross_entropy_back, reads_only=True),
    "bce_with_logits": Kernel(_bce, _bce_back, reads_only=True),
}
