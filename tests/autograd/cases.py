"""One case for every op: how to call it, and how to draw inputs for it. Used by gradient checks and oracles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fedlearn.autograd import convolution, fused, ops, pooling, recurrent
from fedlearn.autograd.graph import OPS
from tests.autograd.draws import (
    APART,
    WINDOW,
    WINDOW_STEPS,
    Draw,
    add_rows,
    alike,
    apart,
    bags,
    binary,
    classes,
    convolved,
    distinct_pair,
    drawn_again,
    fraction,
    layer,
    logits,
    logits_and_shares,
    losses_and_logits,
    matrices,
    matrices_of_rows,
    matrix,
    mean_losses_and_logits,
    normal,
    picks,
    pictures,
    positive,
    rows_to_add,
    seen_twice,
    sequence,
    several,
    slope,
    spread,
    stacked_bags,
    stacked_layer,
    two_matrices,
    unary,
    with_zeros,
    written,
)


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
