"""Derivatives to the third order where functions end, bend or touch 0, beside PyTorch's."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from fedlearn import Tensor, grad
from fedlearn.nn import functional as F

torch = pytest.importorskip("torch")
T = torch.nn.functional

ENDS = [-1.0, 1.0, -0.5, 0.0, 0.5]
SOME_ZERO = [[0.0, 1.0, 2.0], [3.0, 0.0, -1.0], [0.0, 0.0, -2.0]]
ZEROS = np.zeros((3, 3))

CASES = {
    "asin": (lambda x: x.asin(), lambda x: x.asin(), ENDS, 3),
    "acos": (lambda x: x.acos(), lambda x: x.acos(), ENDS, 3),
    "acosh": (lambda x: x.acosh(), lambda x: x.acosh(), [1.0, 1.5, 3.0], 2),
    "atanh": (lambda x: x.atanh(), lambda x: x.atanh(), ENDS, 3),
    "norm of order 3": (lambda x: x.norm(3, 1), lambda x: x.norm(3, 1), SOME_ZERO, 3),
    "norm of order -1": (lambda x: x.norm(-1, 1), lambda x: x.norm(-1, 1), SOME_ZERO, 1),
    "norm of order -1, infinite": (lambda x: x.norm(-1), lambda x: x.norm(-1), [math.inf, -math.inf], 0),
    "cube": (lambda x: x**3, lambda x: x**3, [-2.0, -0.0, math.inf, -math.inf, math.nan, 0.3], 1),
    "cumprod of a number": (lambda x: x.cumprod(0) * x, lambda x: x.cumprod(0) * x, 0.0, 2),
    "cumprod of zeros": (lambda x: x.cumprod(1) ** 2, lambda x: x.cumprod(1) ** 2, SOME_ZERO, 3),
    "prod of zeros": (lambda x: x.prod(1) ** 2, lambda x: x.prod(1) ** 2, SOME_ZERO, 3),
    "norm of order 3, nan": (lambda x: x.norm(3), lambda x: x.norm(3), [math.nan, 1.0, 0.0], 0),
    "norm of order 3, gradient of nan": (lambda x: x.norm(3), lambda x: x.norm(3), [math.nan, 1.0, -2.0], 1),
    "norm of order 0.5, nan": (lambda x: x.norm(0.5), lambda x: x.norm(0.5), [math.nan, 1.0], 1),
    "normalize": (F.normalize, T.normalize, SOME_ZERO, 3),
    "normalize, largest": (
        lambda x: F.normalize(x, math.inf), lambda x: T.normalize(x, math.inf), [[2.0, 2.0, -2.0], [1.0, 0.0, 1.0]], 1,
    ),
    "cosine_similarity": (
        lambda x: F.cosine_similarity(x, 2 * x.flip(0) + 1), lambda x: T.cosine_similarity(x, 2 * x.flip(0) + 1),
        SOME_ZERO, 3,
    ),
    "huber_loss": (lambda x: F.huber_loss(x, ZEROS), lambda x: T.huber_loss(x, torch.tensor(ZEROS)), SOME_ZERO, 2),
    "smooth_l1_loss": (
        lambda x: F.smooth_l1_loss(x, ZEROS), lambda x: T.smooth_l1_loss(x, torch.tensor(ZEROS)), SOME_ZERO, 2,
    ),
    "huber_loss, nan": (
        lambda x: F.huber_loss(x, np.zeros(2)), lambda x: T.huber_loss(x, torch.zeros(2).double()), [math.nan, 0.5], 1,
    ),
}  # fmt: skip


def derivatives(f, x, gradient_of, order):
    """The result, and the gradients of weighted sums, each of the one before."""
    found = [f(x)]
    for i in range(order):
        y = found[-1]
        weights = np.cos(i + np.arange(math.prod(y.shape))).reshape(tuple(y.shape))
        found.append(
            gradient_of((y * type(y)(weights) if isinstance(y, Tensor) else y * torch.tensor(weights)).sum(), x)
        )
    return [y.detach().numpy() for y in found]


@pytest.mark.parametrize("name", CASES)
def test_derivatives_at_edges(name):
    ours, theirs, points, order = CASES[name]
    x, t = Tensor(np.array(points), requires_grad=True), torch.tensor(points, dtype=torch.float64, requires_grad=True)
    found = derivatives(ours, x, lambda s, x: grad(s, x, create_graph=True)[0], order)
    expected = derivatives(theirs, t, lambda s, t: torch.autograd.grad(s, t, create_graph=True)[0], order)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_a_norm_below_one_ignores_zeros_in_every_derivative():
    """PyTorch's second derivative is nan at the zeros; beside them it agrees."""
    x = Tensor(np.array([0.0, 4.0, 9.0]), requires_grad=True)
    (first,) = grad(x.norm(0.5), x, create_graph=True)
    np.testing.assert_allclose(first.numpy(), [0, 2.5, 5 / 3])
    (second,) = grad(first[1], x)
    np.testing.assert_allclose(second.numpy(), [0, -3 / 16, 1 / 12], rtol=1e-12)


def test_a_norm_of_negative_order_over_nothing_is_infinite():
    assert Tensor(np.zeros(0)).norm(-1).item() == math.inf


@pytest.mark.parametrize("product", [lambda x: x.prod(), lambda x: x.cumprod(0).sum()])
def test_a_product_with_a_zero_in_it_takes_no_more_memory_than_its_numbers(product):
    x = Tensor(np.append(np.full(2000, 1.001), 0.0), requires_grad=True)
    tracemalloc.start()
    product(x).backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500 * x.nbytes
    assert np.isfinite(x.grad.numpy()).all()
