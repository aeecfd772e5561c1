"""One case for every op: how to call it, and how to draw inputs for it. Used by gradient checks and oracles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fedlearn.autograd import convolution, fused, ops, pooling, recurrent
from fedlearn.autograd.graph import OPS

Draw = Callable[[np.random.Generator, tuple[int, ...]], list[np.ndarray]]


@dataclass(frozen=True)
class Case:
    """`run(*tensors)` exercises the op `name` on `draw(rng, shape)`; the shape has 1 to 3 axes of 1 to 4."""

    name: str
    run: Callable[..., Any]
    draw: Draw

    def __str__(self) -> str:
        return self.name


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
seeds = st.integers(0, 2**31)


def normal(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    return rng.uniform(0.5, 2.0, shape)


def fraction(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    return rng.uniform(-0.9, 0.9, shape)


def with_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Numbers of which about a third are 0."""
    return [positive(rng, shape) * (rng.random(shape) < 0.67)]


def spread(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """At least three along the first axis, so that no standard deviation is near 0."""
    return [apart(rng, (shape[0] + 2, *shape[1:]))]


def written(x: Any, value: Any) -> Any:
    """A copy of `x` with a value written into it."""
    y = x * 1
    y[0] = value * value
    y[-1:] *= 2
    return y * x


def apart(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Distinct numbers, no two nearer than 0.05, none near 0: no kink is met by a small step."""
    count = int(np.prod(shape))
    return ((rng.permutation(count) - count // 2 + 0.5) * 0.1).reshape(shape)


def broadcast(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to `shape`: some axes 1, some leading ones missing."""
    lost = int(rng.integers(0, len(shape) + 1))
    return tuple(1 if rng.random() < 0.4 else n for n in shape[lost:])


def unary(sample: Callable[..., np.ndarray]) -> Draw:
    return lambda rng, shape: [sample(rng, shape)]


def binary(sample: Callable[..., np.ndarray]) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
        pair = [sample(rng, shape), sample(rng, broadcast(rng, shape))]
        return pair[::-1] if rng.random() < 0.5 else pair

    return draw


def distinct_pair(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    other = broadcast(rng, shape)
    return [apart(rng, shape), apart(rng, other) + 0.03]


def matrices(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Two factors, batches broadcast; a vector on either side when the shape has one axis."""
    n, m = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    if len(shape) == 1:
        left = (n,) if rng.random() < 0.5 else (m, n)
        right = (n,) if rng.random() < 0.5 else (n, m)
        return [normal(rng, left), normal(rng, right)]
    batch = shape[:-1]
    return [normal(rng, (*batch, m, n)), normal(rng, (*broadcast(rng, batch), n, shape[-1]))]


def layer(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    out = int(rng.integers(1, 4))
    return [normal(rng, shape), normal(rng, (out, shape[-1])), normal(rng, (out,))]


def stacked_layer(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    clients, out = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    n, width = int(rng.integers(1, 4)), shape[-1]
    return [normal(rng, (clients, n, width)), normal(rng, (clients, out, width)), normal(rng, (clients, out))]


def several(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (int(rng.integers(1, 4)), *shape[1:])) for _ in range(3)]


def alike(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape) for _ in range(3)]


def picks(x: Any, count: int = 5) -> np.ndarray:
    """Whole numbers below len(x), with repeats."""
    return np.arange(count) * 7 % max(1, len(x) if x.ndim else 1)


def add_rows(x: Any, source: Any) -> Any:
    return ops.index_add(x, 0, picks(x), source)


def rows_to_add(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape), normal(rng, (5, *shape[1:]))]


def logits(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (*shape, 3)) * 3]


def classes(x: Any) -> np.ndarray:
    """A target for each row of logits."""
    return np.arange(int(np.prod(x.shape[:-1]))).reshape(x.shape[:-1]) % max(1, (x.shape or (1,))[-1])


def losses_and_logits(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape), *logits(rng, shape)]


def mean_losses_and_logits(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape[:-1]), *logits(rng, shape)]


def slope(g: Any, x: Any, **params: Any) -> Any:
    return fused.cross_entropy_slope(g, x, target=classes(x), **params)


def matrices_of_rows(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (*shape, 2)), normal(rng, (*shape, 3))]


def logits_and_shares(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape), rng.uniform(0, 1, shape)]


def bags(mode: str) -> Callable[[Any], Any]:
    offsets = np.array([0, 2, 2, 5])  # the second bag is empty

    return lambda w: fused.embedding_bag(w, indices=picks(w, 7), offsets=offsets, mode=mode)


def stacked_bags(mode: str) -> Callable[[Any], Any]:
    """Two clients' bags, three each; of the first the second is empty, of the other the third."""
    offsets = np.array([[0, 2, 2], [5, 6, 9]])
    return lambda w: fused.embedding_bag(w, indices=picks(w[0], 9), offsets=offsets, mode=mode)


def matrix(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (max(shape), 2))]


def two_matrices(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (2, max(shape), 2))]


def pictures(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [apart(rng, (1, 2, 4 + shape[0], 3 + shape[-1]))]


WINDOW = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}


WINDOW_STEPS = {name: size for name, size in WINDOW.items() if name != "kernel"}
APART = {"kernel": (2, 1), "stride": (2, 1), "padding": (0, 0), "dilation": (1, 1), "beyond": (0, 0)}


def convolved(groups: int) -> Draw:
    """Images of two channels, a kernel of 3 x 2 for four, and a bias."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
        x = normal(rng, (2, 2, 4 + shape[0], 3 + shape[-1]))
        return [x, normal(rng, (4, 2 // groups, 3, 2)), normal(rng, (4,))]

    return draw


def seen_twice(x: Any) -> Any:
    """Windows taken, weighed, and summed back."""
    seen = ops.windows(x, **WINDOW, fill=0.0)
    return ops.overlap_add(seen * seen, shape=x.shape, **WINDOW_STEPS)


def drawn_again(shape: tuple[int, ...]) -> np.ndarray:
    """The same numbers each time."""
    return np.random.default_rng(4).random(shape, np.float32)


def sequence(gates: int, states: int, bias: bool, table: bool) -> Draw:
    """Projections of 1 to 4 steps of 1 to 4 sequences (or a table of 3), weights and states for 2 units."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
        steps = (3,) if table else (shape[0], shape[-1])
        batch = 2 if table else shape[-1]
        biases = [normal(rng, (gates * 2,))] * bias
        return [
            normal(rng, (*steps, gates * 2)),
            normal(rng, (gates * 2, 2)),
            *biases,
            *(normal(rng, (batch, 2)) for _ in range(states)),
        ]

    return draw


TABLE = np.array([[0, 2], [2, 1], [0, 0]])

RECURRENT = [
    Case("lstm", lambda *xs: recurrent.lstm(*xs), sequence(4, 2, False, False)),
    Case("lstm", lambda *xs: recurrent.lstm(*xs, indices=TABLE), sequence(4, 2, False, True)),
    Case("gru", lambda *xs: recurrent.gru(*xs), sequence(3, 1, True, False)),
    Case("gru", lambda *xs: recurrent.gru(*xs, indices=TABLE), sequence(3, 1, True, True)),
    Case("rnn", lambda *xs: recurrent.rnn(*xs, nonlinearity="tanh"), sequence(1, 1, False, False)),
    Case("rnn", lambda *xs: recurrent.rnn(*xs, nonlinearity="tanh", indices=TABLE), sequence(1, 1, False, True)),
]

# A way back as one op, of floats alone: PyTorch has none like it, other ops' cases ask for it under `create_graph`.
SLOPES = [
    Case("row_sum", lambda x: OPS["row_sum"](x) ** 2, lambda rng, shape: [normal(rng, (*shape, 3))]),
    Case("cross_entropy_slope", lambda g, x: slope(g, x), losses_and_logits),
    Case("cross_entropy_slope", lambda g, x: slope(g, x, smoothing=0.2), losses_and_logits),
    Case("cross_entropy_slope", lambda g, x: slope(g, x, average=True), mean_losses_and_logits),
]

CASES = [
    Case("add", lambda a, b: a + b, binary(normal)),
    Case("sub", lambda a, b: a - b, binary(normal)),
    Case("mul", lambda a, b: a * b, binary(normal)),
    Case("div", lambda a, b: a / b, binary(positive)),
    Case("pow", lambda a, b: a**b, binary(positive)),
    Case("neg", lambda x: -x, unary(normal)),
    Case("abs", lambda x: abs(x), unary(apart)),
    Case("exp", lambda x: x.exp(), unary(normal)),
    Case("log", lambda x: x.log(), unary(positive)),
    Case("sqrt", lambda x: x.sqrt(), unary(positive)),
    Case("tanh", lambda x: x.tanh(), unary(normal)),
    Case("sigmoid", lambda x: x.sigmoid(), unary(normal)),
    Case("softplus", lambda x: ops.softplus(x), unary(normal)),
    Case("relu", lambda x: x.relu(), unary(apart)),
    Case("leaky_relu", lambda x: ops.leaky_relu(x, slope=0.1), unary(apart)),
    Case("clip", lambda x: x.clip(-0.3, 0.4), unary(apart)),
    Case("maximum", lambda a, b: ops.maximum(a, b), distinct_pair),
    Case("minimum", lambda a, b: ops.minimum(a, b), distinct_pair),
    Case("where", lambda a, b: ops.where(a > 0, a, b), lambda rng, shape: [apart(rng, shape), normal(rng, shape)]),
    Case("astype", lambda x: x.astype(np.float64) * x, unary(normal)),
    Case("sum", lambda x: x.sum(axis=-1, keepdims=True) * x.sum(), unary(normal)),
    Case("mean", lambda x: x.mean(axis=0) * x.mean(axis=(0, -1)[: x.ndim], keepdims=True), unary(normal)),
    Case("max", lambda x: x.max(axis=0) * x.max(), unary(apart)),
    Case("min", lambda x: x.min(axis=-1, keepdims=True) * x, unary(apart)),
    Case("var", lambda x: x.var(axis=-1, keepdims=True, correction=0) + x.var(correction=-1), unary(normal)),
    Case("cumsum", lambda x: x.cumsum(axis=0) * x, unary(normal)),
    Case("logsumexp", lambda x: ops.logsumexp(x, axis=0), unary(normal)),
    Case("softmax", lambda x: ops.softmax(x, axis=-1), unary(normal)),
    Case("log_softmax", lambda x: ops.log_softmax(x, axis=0), unary(normal)),
    Case("matmul", lambda a, b: a @ b, matrices),
    Case("linear", lambda x, w, b: ops.linear(x, w, b), layer),
    Case("linear", lambda x, w, b: ops.linear(x, w, b), stacked_layer),
    Case(
        "einsum",
        lambda a, b: ops.einsum("...i,ij->...j", a, b),
        lambda rng, shape: [normal(rng, shape), normal(rng, (shape[-1], 2))],
    ),
    Case("reshape", lambda x: x.reshape(-1) * x.flatten(), unary(normal)),
    Case("transpose", lambda x: x.T * x.transpose(*range(x.ndim)[::-1]), unary(normal)),
    Case("swapaxes", lambda x: x.swapaxes(0, -1) * 2.0, unary(normal)),
    Case("broadcast_to", lambda x: x.unsqueeze(0).expand(3, *(-1,) * x.ndim) * x, unary(normal)),
    Case("flip", lambda x: x.flip(0) * x, unary(normal)),
    Case("pad", lambda x: ops.pad(x, widths=((1, 2),) * x.ndim) ** 2, unary(normal)),
    Case("concatenate", lambda *xs: ops.concatenate(xs, axis=0) ** 2, several),
    Case("concatenate", lambda *xs: ops.stack(xs, axis=1) ** 2, alike),
    Case("getitem", lambda x: x[0] * x[-1:, ...], unary(normal)),
    Case("getitem", lambda x: x[picks(x)] ** 2, unary(normal)),
    Case("getitem", lambda x: x[np.arange(x.size).reshape(x.shape) % 2 == 0] ** 2, unary(normal)),
    Case("scatter", lambda x, s: add_rows(x, s) ** 2, rows_to_add),
    Case("take", lambda w: ops.take(w, indices=picks(w, 6).reshape(2, 3)) ** 2, matrix),
    Case("pick", lambda x: ops.pick(x, index=classes(x)) ** 2, logits),
    Case("nth", lambda x: ops.nth(x, place=0) * x, unary(normal)),
    Case("place", lambda x: ops.place(x, index=np.ones(x.shape, int), length=3) ** 2, unary(normal)),
    Case("clone", lambda x: +x * x, unary(normal)),
    Case("square", lambda x: x.square(), unary(normal)),
    Case("remainder", lambda a, b: (a % b) * a, lambda rng, shape: [apart(rng, shape), 4 + positive(rng, shape)]),
    Case("exp2", lambda x: x.exp2(), unary(normal)),
    Case("expm1", lambda x: x.expm1(), unary(normal)),
    Case("log2", lambda x: x.log2(), unary(positive)),
    Case("log10", lambda x: x.log10(), unary(positive)),
    Case("log1p", lambda x: x.log1p(), unary(positive)),
    Case("sign", lambda x: x.sign() * x, unary(apart)),
    Case("floor", lambda x: x.floor() * x, unary(apart)),
    Case("ceil", lambda x: x.ceil() * x, unary(apart)),
    Case("round", lambda x: round(x * 0.9) * x, unary(apart)),
    Case("floor_divide", lambda x: (x // 0.7) * x, unary(apart)),
    Case("sin", lambda x: x.sin(), unary(normal)),
    Case("cos", lambda x: x.cos(), unary(normal)),
    Case("tan", lambda x: x.tan(), unary(fraction)),
    Case("asin", lambda x: x.asin(), unary(fraction)),
    Case("acos", lambda x: x.acos(), unary(fraction)),
    Case("atan", lambda x: x.atan(), unary(normal)),
    Case("atan2", lambda a, b: a.atan2(b), binary(positive)),
    Case("sinh", lambda x: x.sinh(), unary(normal)),
    Case("cosh", lambda x: x.cosh(), unary(normal)),
    Case("asinh", lambda x: x.asinh(), unary(normal)),
    Case("acosh", lambda x: (x + 1).acosh(), unary(positive)),
    Case("atanh", lambda x: x.atanh(), unary(fraction)),
    Case("sigmoid_slope", lambda x: ops.sigmoid_slope(x), unary(normal)),
    Case("tanh_slope", lambda x: OPS["tanh_slope"](x), unary(normal)),
    Case("asin_slope", lambda x: OPS["asin_slope"](x), unary(fraction)),
    Case("acosh_slope", lambda x: OPS["acosh_slope"](x + 1), unary(positive)),
    Case("atanh_slope", lambda x: OPS["atanh_slope"](x), unary(fraction)),
    Case("crossed", lambda a, b: OPS["crossed"](a, b) ** 2, matrices_of_rows),
    Case("normal_cdf", lambda x: ops.normal_cdf(x), unary(normal)),
    Case("erf", lambda x: x.erf(), unary(normal)),
    Case("logaddexp", lambda a, b: a.logaddexp(b), binary(normal)),
    Case("amax", lambda x: x.amax(dim=-1, keepdim=True) * x.amax((0, -1)[: x.ndim]), unary(apart)),
    Case("amin", lambda x: x.amin(0) * x.amin(), unary(apart)),
    Case("std", lambda x: x.std(correction=-1) * x.std(0, keepdims=True, correction=0), spread),
    Case("prod", lambda x: x.prod() * x.prod(-1, keepdims=True), unary(positive)),
    Case("prod", lambda x: x.prod() * x + x.prod(axis=-1, keepdims=True), with_zeros),
    Case("cumprod", lambda x: x.cumprod(-1), unary(positive)),
    Case("cumprod", lambda x: x.cumprod(0) * x, with_zeros),
    Case("norm", lambda x: x.norm() * x.norm(dim=-1, keepdim=True), unary(positive)),
    Case("roll", lambda x: x.roll(1) * x.roll((1, -2), (0, -1)), unary(normal)),
    Case("setitem", written, lambda rng, shape: [normal(rng, shape), normal(rng, shape[1:])]),
    Case("windows", lambda x: ops.windows(x, **WINDOW, fill=0.0) ** 2, pictures),
    Case("overlap_add", seen_twice, pictures),
    Case("conv2d", lambda *xs: convolution.conv2d(*xs, **WINDOW_STEPS, groups=1), convolved(1)),
    Case("conv2d", lambda *xs: convolution.conv2d(*xs, **WINDOW_STEPS, groups=2), convolved(2)),
    Case("max_pool", lambda x: pooling.max_pool(x, **WINDOW, beyond=(1, 0)), pictures),
    Case("max_pool", lambda x: pooling.max_pool(x, **APART), pictures),
    Case("cross_entropy", lambda x: fused.cross_entropy(x, target=classes(x)), logits),
    Case("cross_entropy", lambda x: fused.cross_entropy(x, target=classes(x), smoothing=0.2), logits),
    Case("cross_entropy", lambda x: fused.cross_entropy(x, target=classes(x), average=True), logits),
    Case("bce_with_logits", lambda x, t: fused.bce_with_logits(x, t), logits_and_shares),
    Case("bce_with_logits", lambda x, t: fused.bce_with_logits(x, t, average=1), logits_and_shares),
    Case("bce_with_logits", lambda x, t: fused.bce_with_logits(x, t, average=x.ndim), logits_and_shares),
    Case("embedding_bag", bags("sum"), matrix),
    Case("embedding_bag", bags("mean"), matrix),
    Case("embedding_bag", stacked_bags("sum"), two_matrices),
    Case("embedding_bag", stacked_bags("mean"), two_matrices),
    Case("dropout", lambda x: fused.dropout(x, p=0.4, draw=drawn_again), unary(normal)),
    *SLOPES,
    *RECURRENT,
]
