"""Small programs that people write, run word for word by this library and by PyTorch.

After the ideas of what micrograd, autograd, tinygrad and PyTorch test: numbers that are used twice, shapes that
broadcast, views, changes in place. Values, dtypes, first and second derivatives.
"""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor, grad
from fedlearn.autograd import ops

torch = pytest.importorskip("torch")


def same(ours, theirs):
    """One function by two names: as a Tensor's, or as PyTorch's."""
    return lambda *xs: (theirs if any(map(torch.is_tensor, xs)) else ours)(*xs)


where = same(ops.where, torch.where)
product = same(lambda a, b: ops.einsum("bij,bjk->bik", a, b), lambda a, b: torch.einsum("bij,bjk->bik", a, b))
crossed = same(ops.outer, torch.outer)


def first_column(x):
    return x.gather(1, torch.zeros((len(x), 1), dtype=int) if torch.is_tensor(x) else np.zeros((len(x), 1), int))


def graph_of_micrograd(a, b):
    c = a + b
    d = a * b + b**3
    c = c + (c + 1)
    c = c + (1 + c + (-a))
    d = d + (d * 2 + (b + a).relu())
    d = d + (3 * d + (b - a).relu())
    f = (c - d) ** 2
    return f / 2.0 + 10.0 / f


def written(a):
    z = a * 0
    z[1:3] = a[:2] * 5
    z[0] = a[3]
    return (z * a).sum()


def in_place(a):
    b = a * 2
    b.add_(1.0)
    b.mul_(a)
    b -= a
    return b.sum()


def clamped_in_place(a):
    b = a * 1
    b.clamp_(-0.5, 0.5)
    return (b * a).sum()


PROGRAMS = {
    "micrograd's": (graph_of_micrograd, (), ()),
    "a number twice": (lambda a: a * a + a, ()),
    "a diamond": (lambda a: ((a * 2) * (a * 3) + (a * 2) * (a * 2)).sum(), (3,)),
    "used again": (lambda a: ((a + 1) ** 3).sum() + (a + 1).sum(), (3,)),
    "broadcast": (lambda a, b: ((a + b) * (a - b) / (b * b + 1)).sum(), (3, 1), (1, 4)),
    "stacks of matrices": (lambda a, b: (a @ b).sum(), (2, 1, 3, 4), (5, 4, 2)),
    "vector by vector": (lambda a, b: a @ b, (4,), (4,)),
    "matrix by vector": (lambda a, b: ((a @ b) ** 2).sum(), (3, 4), (4,)),
    "vector by matrices": (lambda a, b: ((a @ b) ** 2).sum(), (4,), (2, 4, 3)),
    "from behind": (lambda a: (a[-1] * a[..., -2:].sum()).sum(), (3, 4)),
    "every other": (lambda a: (a[::2] ** 2).sum() + (a[:, 1::2] ** 3).sum(), (4, 5)),
    "by a mask": (lambda a: (a[a > 0] ** 2).sum(), (4, 5)),
    "by lists, with repeats": (lambda a: (a[[0, 0, 2]] * a[[1, 2, 2]]).sum(), (3, 4)),
    "by two lists": (lambda a: (a[[0, 1], [2, 2]] ** 2).sum(), (3, 4)),
    "sums along two axes": (lambda a: (a.sum((0, 2)) ** 2).sum(), (2, 3, 4)),
    "less the mean": (lambda a: ((a - a.mean(1, keepdim=True)) ** 3).sum(), (3, 4)),
    "spread": (lambda a: a.var(1).sum() + a.std(0).sum() + a.var(), (3, 4)),
    "logsumexp": (lambda a: (a.logsumexp(1) ** 2).sum(), (3, 4)),
    "softmax": (lambda a: (a.softmax(-1) * a).sum() + (a.log_softmax(0) ** 2).sum(), (3, 4)),
    "running": (lambda a: (a.cumsum(0) * a.cumprod(1)).sum(), (3, 4)),
    "powers": (lambda a, b: (a**3).sum() + (a.exp() ** b).sum() + (2.0**a).sum(), (3,), (3,)),
    "remainder": (lambda a: ((a % 0.7) * a).sum(), (5,)),
    "size and sign": (lambda a: (a.abs() * a.sign() * a).sum(), (5,)),
    "held": (lambda a: (a.clamp(-0.5, 0.5) ** 2 * a).sum(), (5,)),
    "extremes": (lambda a: (a.amax(1) * a.amin(0).sum()).sum(), (3, 4)),
    "products": (lambda a: a.prod() + a.prod(0).sum(), (3, 4)),
    "transposed": (lambda a: (a.t() @ a).sum() + (a.transpose(0, 1).reshape(-1) ** 3).sum(), (3, 4)),
    "other axes": (lambda a: (a.permute(2, 0, 1).flatten(1) ** 3).sum(), (2, 3, 4)),
    "expanded": (lambda a: (a.expand(4, 3) ** 3).sum(), (1, 3)),
    "repeated": (lambda a: (a.repeat(2, 3) ** 3).sum(), (2, 3)),
    "cut": (lambda a: sum((part**3).sum() * i for i, part in enumerate(a.split(2, 1))), (3, 5)),
    "chunks": (lambda a: sum((part**3).sum() * i for i, part in enumerate(a.chunk(3, 1))), (3, 5)),
    "slices": (lambda a: sum((x**3).sum() * i for i, x in enumerate(a.unbind(1))), (3, 4)),
    "turned": (lambda a: (a.flip(0) * a.roll(1, 1)).sum(), (3, 4)),
    "triangles": (lambda a: (a.tril() @ a.triu()).sum(), (3, 3)),
    "diagonal": (lambda a: (a.diagonal() ** 3).sum() + a.trace(), (3, 3)),
    "lengths": (lambda a: a.norm() + a.norm(dim=1).sum() + a.norm(p=1), (3, 4)),
    "gathered": (lambda a: (first_column(a) ** 3).sum(), (3, 4)),
    "waves": (lambda a: (a.sin() * a.cos() + a.tan() + a.atan() + a.sinh() * a.cosh() + a.asinh()).sum(), (5,)),
    "logarithms": (lambda a: (a.exp().log1p() + a.expm1() + (a * a + 1).log2() + (a * a + 1).log10()).sum(), (5,)),
    "written into": (written, (4,)),
    "in place": (in_place, (3,)),
    "held in place": (clamped_in_place, (5,)),
    "filled": (lambda a: (a.masked_fill(a > 0, 2.0) * a).sum(), (5,)),
    "in order": (lambda a: (a.sort(1)[0] ** 3).sum() + (a.topk(2, 1)[0] ** 3).sum(), (3, 4)),
    "on the way": (lambda a, b: (a.lerp(b, 0.3) ** 3).sum(), (3,), (3,)),
    "outer and inner": (lambda a, b: (crossed(a, b) ** 2).sum() + a.dot(b), (3,), (3,)),
    "the larger": (lambda a, b: (where(a > b, a, b) ** 3).sum(), (5,), (5,)),
    "einsum": (lambda a, b: (product(a, b) ** 2).sum(), (2, 3, 4), (2, 4, 5)),
    "one number in two axes": (lambda a: (a * a * a).sum().sqrt(), (1, 1)),
    "half detached": (lambda a: (a * a.detach() * a).sum(), (3,)),
    "the article's": (lambda a, b: a.sin() + a * b, (), ()),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", PROGRAMS)
def test_both_libraries_agree(name, dtype):
    run, *shapes = PROGRAMS[name]
    rng = np.random.default_rng(0)
    arrays = [
        np.asarray(np.abs(rng.standard_normal(shape)) if shape == (1, 1) else rng.standard_normal(shape), dtype)
        for shape in shapes
    ]
    xs = [Tensor(array, requires_grad=True) for array in arrays]
    others = [torch.tensor(array, requires_grad=True) for array in arrays]
    limit = 1e-9 if dtype == np.float64 else 2e-4
    y, z = run(*xs), run(*others)
    compare(y, z, limit)
    options = {"create_graph": True, "allow_unused": True}
    first = grad(y, xs, **options)
    theirs = torch.autograd.grad(z, others, materialize_grads=True, **options)
    for mine, other in zip(first, theirs, strict=True):
        compare(mine, other, limit)
    penalty, their_penalty = sum((g * g).sum() for g in first), sum((g * g).sum() for g in theirs)
    second = grad(penalty, xs, allow_unused=True)
    for mine, other in zip(
        second, torch.autograd.grad(their_penalty, others, allow_unused=True, materialize_grads=True), strict=True
    ):
        compare(mine, other, 10 * limit)


def compare(mine, other, limit):
    assert str(mine.dtype) == str(other.dtype).removeprefix("torch.")
    np.testing.assert_allclose(mine.numpy(), other.detach().numpy(), rtol=limit, atol=limit)
