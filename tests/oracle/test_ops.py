"""Every op beside PyTorch's: values, first and second derivatives, in double and in single precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from fedlearn import Tensor, grad
from tests.autograd.cases import CASES, RECURRENT, WINDOW, Case, classes, picks, seeds, shapes

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
    "erf": [lambda x: T.gelu(x)],
    "clip": [lambda x: x.clamp(-0.3, 0.4)],
    "maximum": [torch.maximum],
    "minimum": [torch.minimum],
    "where": [lambda a, b: torch.where(a > 0, a, b)],
    "astype": [lambda x: x * x],
    "sum": [lambda x: x.sum(-1, keepdim=True) * x.sum()],
    "mean": [lambda x: x.mean(0) * x.mean((0, -1)[: x.ndim], keepdim=True)],
    "max": [lambda x: x.amax(0) * x.max()],
    "min": [lambda x: x.amin(-1, keepdim=True) * x],
    "var": [lambda x: x.var(-1, keepdim=True, correction=0) + x.var(correction=-1)],
    "cumsum": [lambda x: x.cumsum(0) * x],
    "logsumexp": [lambda x: x.logsumexp(0)],
    "softmax": [lambda x: x.softmax(-1)],
    "log_softmax": [lambda x: x.log_softmax(0)],
    "matmul": [lambda a, b: a @ b],
    "linear": [T.linear, lambda x, w, b: x @ w.mT + b[:, None]],
    "einsum": [lambda a, b: torch.einsum("...i,ij->...j", a, b)],
    "reshape": [lambda x: x.reshape(-1) * x.flatten()],
    "transpose": [lambda x: x.permute(*range(x.ndim)[::-1]) ** 2],
    "swapaxes": [lambda x: x.swapaxes(0, -1) * 2],
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
    "place": [lambda x: (x[..., None] * torch.tensor([0, 1, 0], dtype=x.dtype)) ** 2],
    "windows": [lambda x: _windows(x) ** 2],
    "overlap_add": [_seen_twice],
    "cross_entropy": [lambda x: _losses(x, 0.0), lambda x: _losses(x, 0.2), lambda x: _losses(x, 0.0).mean(-1)],
    "bce_with_logits": [
        lambda x, t: T.binary_cross_entropy_with_logits(x, t, reduction="none"),
        lambda x, t: T.binary_cross_entropy_with_logits(x, t, reduction="none").mean(-1),
        lambda x, t: T.binary_cross_entropy_with_logits(x, t),
    ],
    "embedding_bag": [
        lambda w: _bag(w, "sum"),
        lambda w: _bag(w, "mean"),
        lambda w: _stacked_bags(w, "sum"),
        lambda w: _stacked_bags(w, "mean"),
    ],
}


def _pairs():
    left = {name: list(functions) for name, functions in TORCH.items()}
    return [(case, left[case.name].pop(0)) for case in CASES if case not in RECURRENT]


def _ours(run, arrays, rng):
    xs = [Tensor(x, requires_grad=True) for x in arrays]
    y = run(*xs)
    first = grad(y, xs, _weights(rng, y), create_graph=True, allow_unused=True)
    total = sum(((g * _weights(rng, g)).sum() for g in first), Tensor(0.0) * xs[0].sum())
    second = grad(total, xs, allow_unused=True)
    return [t.numpy() for t in (y, *first, *second)]


def _theirs(run, arrays, rng):
    xs = [torch.tensor(x, requires_grad=True) for x in arrays]
    y = run(*xs)
    options = {"allow_unused": True, "materialize_grads": True}
    first = torch.autograd.grad(y, xs, torch.tensor(_weights(rng, y)), create_graph=True, **options)
    total = sum((g * torch.tensor(_weights(rng, g))).sum() for g in first) + 0 * xs[0].sum()
    second = torch.autograd.grad(total, xs, **options)
    return [t.detach().numpy() for t in (y, *first, *second)]


def _weights(rng, y):
    return rng.standard_normal(tuple(y.shape)).astype(str(y.dtype).removeprefix("torch."))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize(
    ("case", "theirs"), _pairs(), ids=lambda value: value.name if isinstance(value, Case) else "torch"
)
@settings(max_examples=4)
@given(shape=shapes, seed=seeds)
def test_values_and_derivatives(case: Case, theirs, dtype, tolerance, shape, seed):
    arrays = [x.astype(dtype) for x in case.draw(np.random.default_rng(seed), shape)]
    ours = _ours(case.run, arrays, np.random.default_rng(seed))
    for got, want in zip(ours, _theirs(theirs, arrays, np.random.default_rng(seed)), strict=True):
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)
