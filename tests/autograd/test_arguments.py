"""Arguments beside the tensors: a gradient that one wants is computed, or it is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor, nn, no_grad
from fedlearn.autograd import ops
from fedlearn.errors import BadInput, GraphError
from fedlearn.nn import functional as F

torch = pytest.importorskip("torch")

X = np.array([[0.3, 0.9, np.nan], [-0.2, 0.5, 0.7]])
BOUNDS = {
    "low": lambda x, a, b: x.clip(a),
    "high": lambda x, a, b: x.clip(None, b),
    "both": lambda x, a, b: x.clip(a, b),
    "crossed": lambda x, a, b: x[:, :2].clip(b, a),
    "by name": lambda x, a, b: x.clamp(min=a, max=b),
    "a number beside": lambda x, a, b: x.clamp(a, max=0.6 * x.new_ones(()) if isinstance(x, torch.Tensor) else 0.6),
    "for each column": lambda x, a, b: x.clip(a * x[1], b),
    "of a constant": lambda x, a, b: (x.detach() * 1).clip(a, b),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_has_the_gradient_of_what_it_replaces(name):
    def gradients(make):
        x, a, b = make(X), make(np.array(0.4)), make(np.array(0.6))
        result = BOUNDS[name](x, a, b)
        (result * result.detach()).sum().backward()
        return result.detach(), *(None if t.grad is None else t.grad for t in (x, a, b))

    ours = gradients(lambda data: Tensor(data, requires_grad=True))
    theirs = gradients(lambda data: torch.tensor(data, requires_grad=True))
    for one, other in zip(ours, theirs, strict=True):
        nothing = np.zeros(())
        np.testing.assert_allclose(nothing if one is None else one.numpy(), nothing if other is None else other.numpy())


def test_numpys_clip_and_other_names_of_it_give_bounds_their_gradient():
    for clip in (lambda x, a: np.clip(x, a, None), lambda x, a: x.clamp_min(a), lambda x, a: (x * 1).clamp_(a)):
        x, a = Tensor(np.array([0.3, 0.9]), requires_grad=True), Tensor(np.array(0.5), requires_grad=True)
        clip(x, a).sum().backward()
        assert (a.grad.item(), x.grad.tolist()) == (1, [0, 1])


W = Tensor(np.array(0.5), requires_grad=True)
ONE = np.ones((2, 2))
CONSTANTS = {
    "scale": lambda w: F.scaled_dot_product_attention(ONE, ONE, ONE, scale=w),
    "negative_slope": lambda w: F.leaky_relu(ONE, w),
    "alpha": lambda w: F.elu(ONE, w),
    "min_val": lambda w: F.hardtanh(ONE, w, 1.0),
    "beta": lambda w: F.softplus(ONE, w),
    "delta": lambda w: F.huber_loss(ONE, 2 * ONE, delta=w),
    "value": lambda w: F.pad(ONE, (1, 1), value=w),
    "eps": lambda w: F.layer_norm(ONE, (2,), eps=w),
    "p": lambda w: F.dropout(ONE, w),
    "label_smoothing": lambda w: F.cross_entropy(ONE, np.array([0, 1]), label_smoothing=w),
    "momentum": lambda w: nn.BatchNorm1d(2, momentum=w),
    "low": lambda w: ops.clip(Tensor(ONE), low=w),
    "correction": lambda w: Tensor(ONE).var(correction=w),
    "decimals": lambda w: Tensor(ONE).round(w),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_that_wants_a_gradient_is_refused_by_name(name):
    with pytest.raises(BadInput, match=name):
        CONSTANTS[name](W)
    if name not in ("low", "correction", "decimals"):
        with no_grad():
            CONSTANTS[name](W)
        CONSTANTS[name](W.detach())


def test_a_list_of_tensors_says_what_it_would_lose():
    for make in (lambda: Tensor([W, W]), lambda: Tensor(np.ones(2)) * [W, W], lambda: F.linear(ONE, [[W, W]])):
        with pytest.raises(GraphError, match=r"say so by \.numpy\(\) or \.detach\(\)"):
            make()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ops.index_add(x, 5, [0], np.ones((3, 1))),
        lambda x: ops.index_add(x, -3, [0], np.ones((3, 1))),
        lambda x: x.repeat(1.5, 2),
        lambda x: ops.tile(x, (1.5, 2)),
        lambda x: ops.roll(x, 1.5),
        lambda x: ops.roll(x, (1.5, 1), axis=(0, 1)),
        lambda x: x.tril(1.5),
        lambda x: x.triu("a"),
        lambda x: x.topk(1.5),
    ],
)
def test_a_fraction_is_no_count_and_an_axis_is_there(call):
    with pytest.raises(BadInput):
        call(Tensor(np.arange(12.0).reshape(3, 4)))
