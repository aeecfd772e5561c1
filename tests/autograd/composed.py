"""One case for every function that is composed of ops, as cases.py has for the ops themselves."""

from __future__ import annotations

import numpy as np

from fedlearn.autograd import ops
from tests.autograd.cases import (
    Case,
    add_rows,
    alike,
    apart,
    normal,
    positive,
    rows_to_add,
    several,
    spread,
    unary,
)  # fmt: skip

COMPOSED = [
    Case("argsort", lambda x: x[x.argsort(0)] ** 2, lambda rng, shape: [apart(rng, shape[:1])]),
    Case("concatenate", lambda *xs: ops.concatenate(xs, axis=0) ** 2, several),
    Case("diag", lambda x: x.diag(1) @ ops.diag(x[0, :2]), lambda rng, shape: [normal(rng, (2, 3))]),
    Case("diagonal", lambda x: ops.diagonal(x, 1, -1, 0) ** 2, lambda rng, shape: [normal(rng, (2, *shape, 3))]),
    Case("diff", lambda x: x.diff(2, 0) ** 2, spread),
    Case("dot", lambda a, b: ops.dot(a, b) ** 2, lambda rng, shape: [normal(rng, shape), normal(rng, shape[-1:])]),
    Case("einsum", lambda x: ops.einsum("iji->ij", x) ** 2, lambda rng, shape: [normal(rng, (2, 3, 2))]),
    Case("gather", lambda x: x.gather(-1, np.zeros((*x.shape[:-1], 2), int)) ** 2, unary(normal)),
    Case("gelu", lambda x: ops.gelu(x), unary(normal)),
    Case("gelu", lambda x: ops.gelu(x, "tanh"), unary(normal)),
    Case("hstack", lambda a, b: ops.hstack([a, b]) ** 2, lambda rng, shape: [normal(rng, shape)] * 2),
    Case("index_add", lambda x, s: add_rows(x, s) ** 2, rows_to_add),
    Case("logsigmoid", lambda x: ops.logsigmoid(x), unary(normal)),
    Case("masked_fill", lambda x: x.masked_fill(x.numpy() > 0, 3.0) * x, unary(apart)),
    Case("moveaxis", lambda x: x.moveaxis(0, -1) ** 2, unary(normal)),
    Case("norm", lambda x: x.norm(3, axis=0) + x.norm(1) + x.norm(np.inf), unary(positive)),
    Case("outer", lambda a, b: ops.outer(a, b) ** 2, lambda rng, shape: [normal(rng, shape), normal(rng, (2,))]),
    Case("repeat", lambda x: x.repeat(2, axis=-1) ** 2, unary(normal)),
    Case("roll", lambda x: x.roll(1, 0) * x, unary(normal)),
    Case("silu", lambda x: ops.silu(x), unary(normal)),
    Case("sort", lambda x: ops.sort(x, 0) ** 2 + x.sort(dim=0, descending=True)[0], unary(apart)),
    Case("split", lambda x: x.split(1, -1)[0] * x, unary(normal)),
    Case("squeeze", lambda x: x.unsqueeze(1).squeeze(dim=1) * x, unary(normal)),
    Case("stack", lambda *xs: ops.stack(xs, axis=1) ** 2, alike),
    Case("tensordot", lambda a, b: ops.tensordot(a, b, ([-1, 0], [0, 1])) ** 2,
         lambda rng, shape: [normal(rng, (2, 3, 4)), normal(rng, (4, 2, 2))]),
    Case("tile", lambda x: x.tile((2, 3)) ** 2, unary(normal)),
    Case("topk", lambda x: x.topk(1, -1)[0] * x, unary(apart)),
    Case("trace", lambda x: x.trace() * x, lambda rng, shape: [normal(rng, (2, 3))]),
    Case("tril", lambda x: x.tril(-1) * x, lambda rng, shape: [normal(rng, (2, 3, 3))]),
    Case("triu", lambda x: x.triu(1) * x, lambda rng, shape: [normal(rng, (2, 3, 3))]),
    Case("unsqueeze", lambda x: x.unsqueeze(0) * x, unary(normal)),
    Case("vstack", lambda a, b: ops.vstack([a, b]) ** 2, lambda rng, shape: [normal(rng, shape)] * 2),
]  # fmt: skip
PLACES = {"argmax", "argmin", "any_", "all_"}  # functions whose results have no gradient
