"""What PyTorch calls every op and function: the oracle of each case, in the order of cases.py and composed.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.autograd.cases import CASES, RECURRENT, SLOPES, Case
from tests.autograd.composed import COMPOSED
from tests.autograd.draws import APART, WINDOW, classes, drawn_again, picks

torch = pytest.importorskip("torch")
T = torch.nn.functional

OFFSETS = [0, 2, 2, 5]


def _bag(w, mode):
    return T.embedding_bag(torch.as_tensor(picks(w, 7)), w, torch.tensor(OFFSETS), mode=mode)


def _stacked_bags(w, mode):
    words = torch.as_tensor(picks(w[0], 9))
    parts = zip(w, (words[:5], words[5:]), ([0, 2, 2], [0, 1, 4]), strict=True)
    return torch.stack([T.embedding_bag(some, one, torch.tensor(offsets), mode=mode) for one, some, offsets in parts])


def _losses(x, smoothing):
    classes_first = torch.movedim(x, -1, 1) if x.ndim > 1 else x
    return T.cross_entropy(classes_first, torch.as_tensor(classes(x)), reduction="none", label_smoothing=smoothing)


SHAPE = {name: value for name, value in WINDOW.items() if name != "kernel"}


def _windows(x):
    seen = T.unfold(x, WINDOW["kernel"], **SHAPE).reshape(*x.shape[:2], *WINDOW["kernel"], -1)
    height = (x.shape[2] - 1) // 2 + 1
    return seen.reshape(*seen.shape[:4], height, -1)


def _seen_twice(x):
    seen = T.unfold(x, WINDOW["kernel"], **SHAPE)
    return T.fold(seen * seen, x.shape[2:], WINDOW["kernel"], **SHAPE)


def _max_pool(x):
    """With one more row of padding below than above, for which PyTorch's own pooling has no argument."""
    frame = T.pad(x, (0, 0, 1, 2), value=-torch.inf)
    return T.max_pool2d(frame, WINDOW["kernel"], WINDOW["stride"], dilation=WINDOW["dilation"])


SAME_NAME = (
    "exp2", "expm1", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh",
    "asinh", "atanh", "logaddexp",
)  # fmt: skip


def _written(x, value):
    y = x * 1
    y[0] = value * value
    last = y[-1:].clone()
    y[-1:] = last * 2
    return y * x


COMPOSED_TORCH = {
    "argsort": [lambda x: x[x.argsort(0)] ** 2],
    "concatenate": [lambda *xs: torch.cat(xs) ** 2],
    "diag": [lambda x: x.diag(1) @ torch.diag(x[0, :2])],
    "diagonal": [lambda x: torch.diagonal(x, 1, -1, 0) ** 2],
    "diff": [lambda x: x.diff(2, 0) ** 2],
    "dot": [lambda a, b: (a @ b) ** 2],
    "einsum": [lambda x: torch.einsum("iji->ij", x) ** 2],
    "gather": [lambda x: x.gather(-1, torch.zeros((*x.shape[:-1], 2), dtype=int)) ** 2],
    "gelu": [lambda x: T.gelu(x), lambda x: T.gelu(x, approximate="tanh")],
    "hstack": [lambda a, b: torch.hstack([a, b]) ** 2],
    "index_add": [lambda x, s: x.index_add(0, torch.as_tensor(picks(x)), s) ** 2],
    "logsigmoid": [lambda x: T.logsigmoid(x)],
    "masked_fill": [lambda x: x.masked_fill(x > 0, 3.0) * x],
    "moveaxis": [lambda x: x.moveaxis(0, -1) ** 2],
    "norm": [lambda x: x.norm(3, dim=0) + x.norm(1) + x.norm(np.inf)],
    "outer": [lambda a, b: torch.outer(a.ravel(), b) ** 2],
    "repeat": [lambda x: x.repeat_interleave(2, -1) ** 2],
    "roll": [lambda x: x.roll(1, 0) * x],
    "silu": [lambda x: T.silu(x)],
    "sort": [lambda x: x.sort(0)[0] ** 2 + x.sort(dim=0, descending=True)[0]],
    "split": [lambda x: x.split(1, -1)[0] * x],
    "squeeze": [lambda x: x * x],
    "stack": [lambda *xs: torch.stack(xs, 1) ** 2],
    "tensordot": [lambda a, b: torch.tensordot(a, b, ([-1, 0], [0, 1])) ** 2],
    "tile": [lambda x: x.tile((2, 3)) ** 2],
    "topk": [lambda x: x.topk(1, -1)[0] * x],
    "trace": [lambda x: x.trace() * x],
    "tril": [lambda x: x.tril(-1) * x],
    "triu": [lambda x: x.triu(1) * x],
    "unsqueeze": [lambda x: x.unsqueeze(0) * x],
    "vstack": [lambda a, b: torch.vstack([a, b]) ** 2],
}

# In the order of CASES, several where an op has several cases.
TORCH = {
    "add": [lambda a, b: a + b],
    "sub": [lambda a, b: a - b],
    "mul": [lambda a, b: a * b],
    "div": [lambda a, b: a / b],
    "pow": [lambda a, b: a**b],
    "neg": [lambda x: -x],
    "abs": [lambda x: x.abs()],
    "exp": [lambda x: x.exp()],
    "log": [lambda x: x.log()],
    "sqrt": [lambda x: x.sqrt()],
    "tanh": [lambda x: x.tanh()],
    "sigmoid": [lambda x: x.sigmoid()],
    "softplus": [lambda x: T.softplus(x)],
    "relu": [lambda x: x.relu()],
    "leaky_relu": [lambda x: T.leaky_relu(x, 0.1)],
    "erf": [lambda x: x.erf()],
    "clone": [lambda x: x * x],
    "square": [lambda x: x.square()],
    "remainder": [lambda a, b: (a % b) * a],
    **{
        name: [getattr(torch, name)]
        for name in ["exp2", "expm1", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan"]
    },
    **{name: [getattr(torch, name)] for name in ["atan2", "sinh", "cosh", "asinh", "atanh", "logaddexp"]},
    **{name: [lambda x, name=name: getattr(torch, name)(x) * x] for name in ("sign", "floor", "ceil")},
    "acosh": [lambda x: torch.acosh(x + 1)],
    "round": [lambda x: torch.round(x * 0.9) * x],
    "floor_divide": [lambda x: torch.div(x, 0.7, rounding_mode="floor").detach() * x],
    "tanh_slope": [lambda x: 1 - torch.tanh(x) ** 2],
    "asin_slope": [lambda x: torch.rsqrt(1 - (1.0 * x) ** 2)],
    "acosh_slope": [lambda x: torch.rsqrt((x + 1.0) ** 2 - 1)],
    "atanh_slope": [lambda x: 1 / (1 - (1.0 * x) ** 2)],
    "crossed": [lambda a, b: (a.mT @ b) ** 2],
    "sigmoid_slope": [lambda x: torch.sigmoid(x) * (1 - torch.sigmoid(x))],
    "normal_cdf": [lambda x: torch.special.ndtr(x)],
    "amax": [lambda x: x.amax(-1, keepdim=True) * x.amax((0, -1)[: x.ndim])],
    "amin": [lambda x: x.amin(0) * x.amin()],
    "std": [lambda x: x.std(correction=-1) * x.std(0, keepdim=True, correction=0)],
    "prod": [lambda x: x.prod() * x.prod(-1, keepdim=True), lambda x: x.prod() * x + x.prod(-1, keepdim=True)],
    "cumprod": [lambda x: x.cumprod(-1), lambda x: x.cumprod(0) * x],
    "norm": [lambda x: x.norm() * x.norm(dim=-1, keepdim=True)],
    "roll": [lambda x: x.roll(1) * x.roll((1, -2), (0, -1))],
    "setitem": [_written],
    "clip": [lambda x: x.clamp(-0.3, 0.4)],
    "maximum": [torch.maximum],
    "minimum": [torch.minimum],
    "where": [lambda a, b: torch.where(a > 0, a, b)],
    "astype": [lambda x: x.double() * x],
    "sum": [lambda x: x.sum(-1, keepdim=True) * x.sum()],
    "mean": [lambda x: x.mean(0) * x.mean((0, -1)[: x.ndim], keepdim=True)],
    "max": [lambda x: x.max(0)[0] * x.max()],
    "min": [lambda x: x.min(-1, keepdim=True)[0] * x],
    "var": [lambda x: x.var(-1, keepdim=True, correction=0) + x.var(correction=-1)],
    "cumsum": [lambda x: x.cumsum(0) * x],
    "logsumexp": [lambda x: x.logsumexp(0)],
    "softmax": [lambda x: x.softmax(-1)],
    "log_softmax": [lambda x: x.log_softmax(0)],
    "matmul": [lambda a, b: a @ b],
    "linear": [T.linear, lambda x, w, b: x @ w.mT + b[:, None]],
    "einsum": [lambda a, b: torch.einsum("...i,ij->...j", a, b)],
    "reshape": [lambda x: x.reshape(-1) * x.flatten()],
    "transpose": [lambda x: x.permute(*range(x.ndim)[::-1]) * x.permute(*range(x.ndim)[::-1])],
    "swapaxes": [lambda x: x.swapaxes(0, -1) * 2.0],
    "broadcast_to": [lambda x: x.unsqueeze(0).expand(3, *(-1,) * x.ndim) * x],
    "flip": [lambda x: x.flip(0) * x],
    "pad": [lambda x: T.pad(x, (1, 2) * x.ndim) ** 2],
    "concatenate": [lambda *xs: torch.cat(xs) ** 2, lambda *xs: torch.stack(xs, 1) ** 2],
    "getitem": [
        lambda x: x[0] * x[-1:, ...],
        lambda x: x[torch.as_tensor(picks(x))] ** 2,
        lambda x: x[(torch.arange(x.numel()) % 2 == 0).reshape(x.shape)] ** 2,
    ],
    "scatter": [lambda x, s: x.index_add(0, torch.as_tensor(picks(x)), s) ** 2],
    "take": [lambda w: T.embedding(torch.as_tensor(picks(w, 6).reshape(2, 3)), w) ** 2],
    "pick": [lambda x: x.gather(-1, torch.as_tensor(classes(x))[..., None])[..., 0] ** 2],
    "nth": [lambda x: x[:1] * x],
    "place": [lambda x: torch.stack([torch.zeros_like(x), x, torch.zeros_like(x)], -1) ** 2],
    "windows": [lambda x: _windows(x) ** 2],
    "overlap_add": [_seen_twice],
    "conv2d": [lambda *xs: T.conv2d(*xs, **SHAPE), lambda *xs: T.conv2d(*xs, **SHAPE, groups=2)],
    "max_pool": [_max_pool, lambda x: T.max_pool2d(x, APART["kernel"], APART["stride"])],
    "cross_entropy": [lambda x: _losses(x, 0.0), lambda x: _losses(x, 0.2), lambda x: _losses(x, 0.0).mean(-1)],
    "bce_with_logits": [
        lambda x, t: T.binary_cross_entropy_with_logits(x, t, reduction="none"),
        lambda x, t: T.binary_cross_entropy_with_logits(x, t, reduction="none").mean(-1),
        lambda x, t: T.binary_cross_entropy_with_logits(x, t),
    ],
    "dropout": [lambda x: torch.where(torch.as_tensor(drawn_again(tuple(x.shape)) < 0.4), 0, x * (1 / (1 - 0.4)))],
    "embedding_bag": [
        lambda w: _bag(w, "sum"),
        lambda w: _bag(w, "mean"),
        lambda w: _stacked_bags(w, "sum"),
        lambda w: _stacked_bags(w, "mean"),
    ],
}


def pairs() -> list[tuple[Case, Callable[..., Any]]]:
    """(case, the same in PyTorch); a case without its counterpart is a KeyError. Recurrent ops: see tests/nn."""
    found = []
    for cases, torchs in ((CASES, TORCH), (COMPOSED, COMPOSED_TORCH)):
        left = {name: list(functions) for name, functions in torchs.items()}
        found += [(case, left[case.name].pop(0)) for case in cases if case not in (*RECURRENT, *SLOPES)]
    return found
