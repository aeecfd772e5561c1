"""Where functions saturate, jump or end: values to float32's precision, and gradients that nothing else spoils."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlearn import Tensor, grad
from fedlearn.autograd import ops
from fedlearn.nn import functional as F

torch = pytest.importorskip("torch")
T = torch.nn.functional

X = np.array(
    [-80, -40, -20, -17, -10, -6, -4, -1, -1e-3, -1e-6, 0, 1e-6, 1e-3, 1, 4, 6, 10, 17, 20, 40, 80], np.float32
)
DOUBLE = torch.tensor(X.astype(float))


def normal_cdf(x):
    return torch.special.erfc(-x / math.sqrt(2)) / 2  # torch's gelu in float64 has no digits left at -8


SMOOTH = {
    "sigmoid": (ops.sigmoid, lambda x: T.logsigmoid(x).exp()),
    "logsigmoid": (ops.logsigmoid, T.logsigmoid),
    "softplus": (ops.softplus, lambda x: torch.logaddexp(x, torch.zeros_like(x))),
    "tanh": (ops.tanh, torch.tanh),
    "silu": (ops.silu, T.silu),
    "gelu": (ops.gelu, lambda x: x * normal_cdf(x)),
    "normal_cdf": (ops.normal_cdf, normal_cdf),
    "erf": (ops.erf, torch.erf),
    "bce, target 0": (
        lambda x: F.binary_cross_entropy_with_logits(x, np.zeros_like(X), reduction="none"),
        lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    ),
    "bce, target 1": (
        lambda x: F.binary_cross_entropy_with_logits(x, np.ones_like(X), reduction="none"),
        lambda x: torch.logaddexp(-x, torch.zeros_like(x)),
    ),
    "bce, pos_weight": (
        lambda x: F.binary_cross_entropy_with_logits(x, np.zeros_like(X), None, "none", np.full_like(X, 2)),
        lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    ),
    "elu": (lambda x: F.elu(x, 0.5), lambda x: T.elu(x, 0.5)),
    "celu": (lambda x: F.celu(x, 2.0), lambda x: T.celu(x, 2.0)),
    "selu": (F.selu, T.selu),
    "mish": (F.mish, T.mish),
    "hardswish": (F.hardswish, T.hardswish),
    "hardsigmoid": (F.hardsigmoid, T.hardsigmoid),
    "expm1": (ops.expm1, torch.expm1),
    "atan": (ops.atan, torch.atan),
    "asinh": (ops.asinh, torch.asinh),
    "logaddexp": (lambda x: ops.logaddexp(x, np.float32(0.0)), lambda x: torch.logaddexp(x, torch.zeros_like(x))),
}


ROUNDED = (torch.tanh, torch.expm1)  # PyTorch's slopes of these are 1 - y^2 and y + 1


@pytest.mark.parametrize(("ours", "theirs"), SMOOTH.values(), ids=SMOOTH)
@pytest.mark.parametrize("create_graph", [False, True])
def test_float32_is_float64_rounded(ours, theirs, create_graph):
    x, wide = Tensor(X, requires_grad=True), DOUBLE.clone().requires_grad_()
    y, right = ours(x), theirs(wide)
    (slope,), (right_slope,) = grad(y.sum(), [x], create_graph=create_graph), torch.autograd.grad(right.sum(), wide)
    assert y.dtype == slope.dtype == np.float32
    for got, want in ((y, right.detach().numpy()), (slope, right_slope.numpy())):
        error = np.abs(got.numpy() - want)
        np.testing.assert_array_less(error, 2e-6 * np.abs(want) + (2e-16 if theirs in ROUNDED else 1e-38))


def test_a_wrong_certainty_is_learned_from():
    x = Tensor(np.array([-20], np.float32), requires_grad=True)
    loss = F.binary_cross_entropy(ops.sigmoid(x), np.ones(1, np.float32))
    loss.backward()
    assert loss.item() == pytest.approx(20, rel=1e-6)
    assert x.grad.item() == pytest.approx(-1, rel=1e-5)


MASKS = {
    "relu": (lambda x: x.relu().sqrt()),
    "clip": (lambda x: x.clip(0, None).sqrt()),
    "where": (lambda x: ops.where(x > 0, x, 0.0).sqrt()),
    "where, second": (lambda x: ops.where(x <= 0, 0.0, x).sqrt()),
    "maximum": (lambda x: ops.maximum(x, 0.0).sqrt()),
    "maximum, second": (lambda x: ops.maximum(0.0, x).sqrt()),
    "minimum": (lambda x: ops.minimum(-x, 0.0).abs().sqrt()),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0.0).sqrt()),
    "tril": (lambda x: (x.reshape(1, 2) * np.ones((2, 1))).triu()[:, 1].sqrt()),
    "getitem": (lambda x: x[1:].sqrt()),
}


@pytest.mark.parametrize("run", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_masks_select(run, create_graph):
    x = Tensor(np.array([-1.0, 4.0]), requires_grad=True)
    (first,) = grad(run(x).sum(), [x], create_graph=create_graph)
    assert first.numpy()[0] == 0
    assert first.numpy()[1] in (0.25, 0.5)  # the triangle holds the number twice
    if create_graph:
        (second,) = grad(first.sum(), [x])
        assert second.numpy()[0] == 0
        assert second.numpy()[1] / first.numpy()[1] == -1 / 8


SPECIAL = {
    "relu of nan": (lambda x: x.relu(), math.nan, 1),
    "abs at 0": (lambda x: abs(x), 0.0, 0),
    "abs of infinite slope at 0": (lambda x: abs(x).sqrt(), 0.0, 0),
    "max over all of a tie": (lambda x: ops.stack([x, x]).max(), 1.0, 1),
    "x ** 0 at 0": (lambda x: x**0, 0.0, 0),
    "x ** 0 at inf": (lambda x: x**0, math.inf, 0),
    "x ** 1 at 0": (lambda x: x**1, 0.0, 1),
    "0 ** y at 2": (lambda y: 0.0**y, 2.0, 0),
    "0 ** y at -1": (lambda y: 0.0**y, -1.0, -math.inf),
    "0 ** y at 0": (lambda y: 0.0**y, 0.0, 0),
    "prod with one 0": (lambda x: ops.stack([x, x + 2, x + 3]).prod(), 0.0, 6),
    "norm at 0": (lambda x: ops.stack([x, x]).norm(), 0.0, 0),
    "std of equals": (lambda x: ops.stack([x, x]).std(), 1.0, 0),
    "var of one": (lambda x: ops.stack([x]).var(), 1.0, math.nan),
    "sign": (lambda x: x.sign(), 0.0, 0),
    "sinh far out": (lambda x: x.sinh(), -800.0, math.inf),
    "logsumexp of -inf": (lambda x: ops.logsumexp(ops.stack([x, x * 0 - math.inf])), 1.0, 1),
}


@pytest.mark.parametrize(("run", "at", "right"), SPECIAL.values(), ids=SPECIAL)
@pytest.mark.filterwarnings("error")
def test_slopes_at_special_points(run, at, right):
    for create_graph in (False, True):
        x = Tensor(np.array(at), requires_grad=True)
        (slope,) = grad(run(x), [x], create_graph=create_graph, allow_unused=True)
        np.testing.assert_equal(slope.item(), right)


def test_a_tie_of_the_largest_goes_to_the_first_along_an_axis_and_to_all_over_all():
    for run, right in [
        (lambda x: x.max(1), [[1, 0, 0], [0, 1, 0]]),
        (lambda x: x.min(dim=1), [[0, 0, 1], [1, 0, 0]]),
        (lambda x: x.amax(1), [[0.5, 0.5, 0], [0, 0.5, 0.5]]),
        (lambda x: x.max(), [[0.25, 0.25, 0], [0, 0.25, 0.25]]),
    ]:
        x = Tensor(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]), requires_grad=True)
        run(x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), right)


@pytest.mark.filterwarnings("error")
def test_a_variance_of_too_few_is_nan_and_none_is_negative():
    one = Tensor(np.array([[3.0], [4.0]]), requires_grad=True)
    assert np.isnan(one.var(axis=1).numpy()).all()
    one.var(axis=1).sum().backward()
    assert np.isnan(one.grad.numpy()).all()
    assert one.var(axis=1, correction=0).numpy().tolist() == [0, 0]
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1, 1e4):
        near = (1e4 + scale * rng.random((100, 3))).astype(np.float32)
        assert (Tensor(near).var(axis=1, correction=0).numpy() >= 0).all()


@pytest.mark.filterwarnings("error")
def test_no_floating_point_warnings_come_from_ops_and_the_users_settings_stay():
    x = Tensor(np.array([0.0, -1.0, np.inf, np.nan]), requires_grad=True)
    with np.errstate(all="raise"):
        y = (x / 0.0) + x.log() + x.sqrt() + x.exp() ** 500 + x @ x + x.sin()
        (first,) = grad(y.sum(), [x], create_graph=True)
        grad(first.sum(), [x])
        (x.log() * 0).sum().backward()
        large = Tensor(np.array([80.0], np.float16), requires_grad=True)
        (large.exp() * 60000 + (large * 60000).sum()).sum().backward()
        with pytest.raises(FloatingPointError):
            np.log(np.zeros(1))


def test_erf_keeps_all_digits_of_float64():
    x = np.linspace(-7, 7, 141)
    right = np.array([math.erf(value) for value in x])
    np.testing.assert_allclose(ops.erf(Tensor(x)).numpy(), right, rtol=4e-16, atol=0)


def test_a_gradient_that_was_given_stays_its_givers():
    for given in (Tensor(np.ones(2)), np.ones(2)):
        x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
        x.backward(given)
        x.grad[...] = 5.0
        assert np.asarray(given).tolist() == [1, 1]
