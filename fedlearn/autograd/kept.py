"""Ops written on arrays that are kept: for each the calls of its forward and its vjps in `ops/` and `fused.py`, with a
place for what they give. The same calls of NumPy, or of BLAS below it, of the same numbers in the same order, so the
same bits, which `tests/autograd/test_program.py` holds. Only ops that small models spend their time in need to stand
here: any other runs as it is, and its result is copied.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fedlearn.autograd import kept_bags

ZERO, ONE, MINUS_TWO, FOUR = (np.array(number, np.float32) for number in (0, 1, -2, 4))
MANY = 2048  # numbers from which on they are selected by their bits, as in ops/select.py


class Unfit(Exception):
    """A step that cannot be run from a record: the tape does it."""


class Builder:
    """A program while it is written: the calls so far, and how many bytes they keep."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.bytes = 0

    def array(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        made = np.zeros(shape, dtype)
        self.bytes += made.nbytes
        return made

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Adds a call, and makes it, so that what follows sees what it gives."""
        self.calls.append(partial(function, *args))
        return self.calls[-1]()


class Varying:
    """Whole numbers of the batch, of which there may be more or fewer every time: whatever `array` is then."""

    shape = (-1,)  # as no array's

    def __init__(self, array: np.ndarray):
        self.array = array
        self.dtype = array.dtype

    def fits(self, array: np.ndarray) -> bool:
        return array.ndim == self.array.ndim and array.dtype == self.array.dtype and array.flags.c_contiguous


class Kernel(NamedTuple):
    """How an op is written on kept arrays; both halves return None for what they do not know, which runs as it is.

    forward(build, seen, *inputs, **params) -> (result, kept), `seen` a result of the same shape.
    backward(build, position, g, kept, *inputs, room, **params) -> the gradient of one input: in `room`, where there is
    some, or in an array of its own. It may use the memory of `g`.
    varying: params that come as `Varying`.
    reads_only: backward never writes to `g`, which is read-only where every step has the same.
    """

    forward: Callable[..., tuple[Any, Any] | None]
    backward: Callable[..., Any]
    varying: tuple[str, ...] = ()
    reads_only: bool = False


def all_floats(*arrays: Any) -> bool:
    return all(isinstance(array, np.ndarray) and array.dtype.char == "f" for array in arrays)


def linear(build: Builder, seen: np.ndarray, x: Any, weight: Any, bias: Any = None) -> tuple[Any, Any] | None:
    if not all_floats(x, weight) or weight.ndim != x.ndim or not (bias is None or all_floats(bias)):
        return None
    out = build.array(seen.shape)
    product(build, x, weight.swapaxes(-1, -2), out)
    if bias is not None:
        spread(build, np.add, out, bias if bias.ndim == 1 else bias[..., None, :], out)
    return out, out


def spread(build: Builder, function: np.ufunc, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = function(a, b), b a row or column for all of a: spread by a copy, which NumPy begins sooner than a loop."""
    room = build.array(a.shape)
    build.call(np.copyto, room, b)
    build.call(function, a, room, out)


def linear_back(
    build: Builder, position: int, g: np.ndarray, kept: Any, x: Any, weight: Any, bias: Any = None, *, room: Any
) -> Any:
    if weight.ndim != x.ndim:
        return None
    if position == 2:
        if bias.ndim != weight.ndim - 1:
            return None
        out = build.array(bias.shape) if room is None else room
        ones = np.ones((1, g.shape[-2]), np.float32)
        product(build, ones, g, out[..., None, :])
        return out
    out = build.array((x, weight)[position].shape) if room is None else room
    if position == 0:
        product(build, g, weight, out)
    else:
        product(build, g.swapaxes(-1, -2), x, out)
    return out


def product(build: Builder, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a @ b. Of two small matrices `dot` takes half the time of `matmul`: it is sooner at the same call of BLAS.

    A single number it takes for a factor, and rows that lie apart it copies: there the bits may be others.
    """
    if all(x.ndim == 2 and x.size > 1 and x.flags.forc for x in (a, b)):
        build.call(a.dot, b, out)
    else:
        build.call(np.matmul, a, b, out)


def relu(build: Builder, seen: np.ndarray, x: Any) -> tuple[Any, Any] | None:
    if not all_floats(x):
        return None
    out = build.array(seen.shape)
    build.call(partial(np.maximum, x, ZERO, out=out))
    return out, out


def relu_back(build: Builder, position: int, g: np.ndarray, y: np.ndarray, x: Any, *, room: Any) -> Any:
    if g.size < MANY:
        off = build.array(g.shape, bool)
        build.call(np.less_equal, y, ZERO, off)
        build.call(partial(np.copyto, g, ZERO, where=off))
    else:
        off, word = build.array(g.shape, bool), build.array(g.shape, np.int32)
        build.call(np.less_equal, y, ZERO, off)
        build.call(np.subtract, off.view(np.int8), np.ones((), np.int8), off.view(np.int8))
        build.call(np.copyto, word, off.view(np.int8))
        build.call(np.bitwise_and, g.view(np.int32), word, g.view(np.int32))
    return g


def tanh(build: Builder, seen: np.ndarray, x: Any) -> tuple[Any, Any] | None:
    if not all_floats(x):
        return None
    out = build.array(seen.shape)
    build.call(np.tanh, x, out)
    return out, out


def tanh_back(build: Builder, position: int, g: np.ndarray, y: np.ndarray, x: Any, *, room: Any) -> Any:
    """As the tape has it: g (4 s), s the slope of a sigmoid at 2 x."""
    if not all_floats(g, x):
        return None
    z, total, out = build.array(x.shape), build.array(x.shape), build.array(x.shape)
    build.call(np.abs, x, z)
    build.call(np.multiply, MINUS_TWO, z, z)
    build.call(np.exp, z, z)
    build.call(np.add, ONE, z, total)
    build.call(np.square, total, total)
    build.call(np.divide, z, total, z)
    build.call(np.multiply, FOUR, z, z)
    build.call(np.multiply, g, z, out)
    return out


def cross_entropy(
    build: Builder, seen: np.ndarray, logits: Any, target: Any, smoothing: float = 0.0, average: bool = False
) -> tuple[Any, Any] | None:
    if not all_floats(logits) or smoothing or not average or target.dtype != np.int64 or not target.size:
        return None
    classes, shape = logits.shape[-1], target.shape
    flat = logits.reshape(-1, classes)
    if not np.may_share_memory(flat, logits) or not classes:
        return None
    by_class, top, rows = build.array(flat.T.shape), build.array((len(flat),)), build.array(flat.shape)
    first, places = np.arange(0, flat.size, classes).reshape(shape), build.array(shape, np.int64)
    taken, total = build.array(shape), build.array(shape)
    build.call(_check_below, target.view(np.uint64), classes)
    build.call(np.copyto, by_class, flat.T)
    build.call(np.maximum.reduce, by_class, 0, None, top)
    spread(build, np.subtract, flat, top[:, None], rows)
    build.call(np.add, first, target, places)
    build.call(rows.reshape(-1).take, places, None, taken, "clip")
    build.call(np.exp, rows, rows)
    build.call(np.add.reduce, rows, -1, None, total.reshape(-1))
    return mean_loss(build, seen, total, taken), (rows.reshape(logits.shape), total, places, taken)


def mean_loss(build: Builder, seen: np.ndarray, total: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """The mean of log(total) - taken (..., B) over B; on the tape -taken + log: the same number."""
    loss = build.array(total.shape)
    build.call(np.log, total, loss)
    build.call(np.subtract, loss, taken, loss)
    return mean_of(build, seen, loss)


def mean_of(build: Builder, seen: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The means of losses over their last axis, shaped as `seen`."""
    summed, mean = build.array(seen.shape), build.array(seen.shape)
    build.call(np.add.reduce, losses, -1, None, summed)
    build.call(np.divide, summed, np.array(losses.shape[-1], np.float32), mean)
    return mean


def cross_entropy_back(
    build: Builder, position: int, g: np.ndarray, kept: Any, logits: Any, target: Any, *, room: Any, **params: Any
) -> Any:
    exps, total, places, taken = kept
    share = build.array(total.shape)
    each = share_of(build, g, target.shape[-1])
    each = each[..., None] if each.ndim else each  # a number alone is quicker than an array of one
    build.call(np.divide, each, total, share)
    spread(build, np.multiply, exps, share[..., None], exps)
    flat = exps.reshape(-1)
    build.call(flat.take, places, None, taken, "clip")
    build.call(np.subtract, taken, each, taken)
    build.call(operator.setitem, flat, places, taken)
    return exps


def _check_below(numbers: np.ndarray, count: int) -> None:
    """Read as unsigned, a negative number is larger than any count."""
    if not np.maximum.reduce(numbers, None) < count:
        raise IndexError(f"whole numbers from 0 to {count - 1} are needed")


def bce(build: Builder, seen: np.ndarray, x: Any, target: Any, average: int = 0) -> tuple[Any, Any] | None:
    if not all_floats(x, target) or not average or x.shape != target.shape or not x.size:
        return None
    shape = x.shape
    z, losses = tails(build, x)
    excess, sign, product = build.array(shape), build.array(shape, bool), build.array(shape)
    build.call(np.greater_equal, x, ZERO, sign)
    build.call(np.subtract, sign, target, excess)
    build.call(np.multiply, x, excess, product)
    build.call(np.add, losses, product, losses)
    each = losses.reshape(*shape[:-average], prod(shape[-average:]))
    return mean_of(build, seen, each), (z, excess, sign)


def tails(build: Builder, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """exp(-|x|), and the logarithm of 1 more."""
    z, log = build.array(x.shape), build.array(x.shape)
    build.call(np.abs, x, z)
    build.call(np.negative, z, z)
    build.call(np.exp, z, z)
    build.call(np.log1p, z, log)
    return z, log


def bce_back(
    build: Builder, position: int, g: np.ndarray, kept: Any, x: Any, target: Any, average: int = 0, *, room: Any
) -> Any:
    if position:
        raise Unfit("targets that want a gradient")
    z, excess, sign = kept
    beyond, back = build.array(x.shape), build.array(x.shape)
    each = share_of(build, g, prod(x.shape[-average:]))
    build.call(np.add, ONE, z, beyond)
    build.call(np.divide, z, beyond, beyond)
    build.call(np.negative, beyond, back)
    build.call(partial(np.copyto, back, beyond, where=sign))
    build.call(np.subtract, excess, back, back)
    each = each.reshape(*g.shape, *(1,) * average) if each.ndim else each
    build.call(np.multiply, each, back, back)
    return back


def share_of(build: Builder, g: np.ndarray, count: int) -> np.ndarray:
    """g / count: divided now, where g is the same in every step."""
    each = build.array(g.shape)
    divided = partial(np.divide, g, np.array(count, np.float32), each)
    if g.flags.writeable:
        build.call(divided)
    else:
        divided()
    return each


def _rearranged_back(shape_of: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient of a view is a view of the gradient."""

    def backward(build: Builder, position: int, g: np.ndarray, kept: Any, x: Any, *, room: Any, **params: Any) -> Any:
        back = shape_of(g, x, **params)
        return back if np.may_share_memory(back, g) else None

    return backward


KERNELS = {
    "linear": Kernel(linear, linear_back),
    "relu": Kernel(relu, relu_back),
    "tanh": Kernel(tanh, tanh_back),
    "cross_entropy": Kernel(cross_entropy, cross_entropy_back, reads_only=True),
    "bce_with_logits": Kernel(bce, bce_back, reads_only=True),
    "embedding_bag": Kernel(kept_bags.forward, kept_bags.backward, ("indices",)),
    "reshape": Kernel(lambda *args, **params: None, _rearranged_back(lambda g, x, shape: g.reshape(x.shape))),
}
