"""Jacobian and Hessian matrices, and products with them, beside torch.autograd.functional."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor, grad
from fedlearn.autograd import gradcheck, gradgradcheck, hessian, hvp, jacobian, jvp, no_grad, value_and_grad, vjp
from fedlearn.errors import BadInput, ShapeError

torch = pytest.importorskip("torch")
TF = torch.autograd.functional
X, Y = np.array([0.3, 0.5, 0.2]), np.array([[0.9, -0.1, 0.4], [1.0, 2.0, 3.0]])


def curved(x):
    return (x * x).sum() * x.sin()[0] + x.exp().sum()


def mixed(x, y):
    return (y * x).tanh() @ x


def number(x, y):
    return mixed(x, y).sum() * x[0]


def check(ours, theirs):
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple)
        for a, b in zip(ours, theirs, strict=True):
            check(a, b)
    else:
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-10, atol=1e-12)


def test_one_input():
    x, tx = Tensor(X), torch.tensor(X)
    check(jacobian(lambda x: x.exp() * x[0], X), TF.jacobian(lambda x: x.exp() * x[0], tx))
    check(hessian(curved, x), TF.hessian(curved, tx))
    v = np.array([1.0, -2.0, 0.5])
    check(hvp(curved, x, v), TF.hvp(curved, tx, torch.tensor(v)))
    check(jvp(lambda t: t.exp() * t, x, v), TF.jvp(lambda t: t.exp() * t, tx, torch.tensor(v)))
    check(vjp(lambda x: x.exp(), x, v), TF.vjp(lambda x: x.exp(), tx, torch.tensor(v)))


def test_several_inputs():
    both, theirs = (X, Y), (torch.tensor(X), torch.tensor(Y))
    check(jacobian(mixed, both), TF.jacobian(mixed, theirs))
    check(hessian(number, both), TF.hessian(number, theirs))
    check(hvp(number, both, (X, Y)), TF.hvp(number, theirs, theirs))
    check(jvp(number, both, (X, Y)), TF.jvp(number, theirs, theirs))
    check(vjp(mixed, both, np.ones(2)), TF.vjp(mixed, theirs, torch.ones(2, dtype=float)))
    unused = jacobian(lambda x, y: x * 2, both)
    assert unused[1].shape == (3, 2, 3)
    assert not unused[1].numpy().any()


def test_a_list_of_numbers_is_one_input_and_a_list_of_arrays_several():
    for numbers in ([1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]]):
        theirs = torch.tensor(numbers)
        check(jacobian(lambda x: x * x, numbers), TF.jacobian(lambda x: x * x, theirs))
        check(hessian(lambda x: (x**3).sum(), numbers), TF.hessian(lambda x: (x**3).sum(), theirs))
        check(hvp(lambda x: (x**3).sum(), numbers, numbers), TF.hvp(lambda x: (x**3).sum(), theirs, theirs))
        check(value_and_grad(lambda x: (x * x).sum())(numbers)[1], 2 * theirs)
    check(jacobian(mixed, [X, Y]), jacobian(mixed, (X, Y)))
    check(jacobian(lambda x, y: x * y, (1.0, 2.0)), (torch.tensor(2.0), torch.tensor(1.0)))


def test_value_and_grad():
    value, gradient = value_and_grad(curved)(X)
    tx = torch.tensor(X, requires_grad=True)
    curved(tx).backward()
    assert value.item() == pytest.approx(curved(tx).item())
    check(gradient, tx.grad)
    check(value_and_grad(number, 1)(Tensor(X), Y)[1], TF.jacobian(number, (torch.tensor(X), torch.tensor(Y)))[1])
    with no_grad():
        assert value_and_grad(lambda x: Tensor(1.0))(X)[1].numpy().tolist() == [0, 0, 0]


def test_under_create_graph_they_are_differentiated_again():
    x = Tensor(X, requires_grad=True)
    (third,) = grad(hessian(lambda x: (x**4).sum(), x, create_graph=True).sum(), x)
    np.testing.assert_allclose(third.numpy(), 24 * X)
    assert x.grad is None


def test_an_empty_result_and_a_constant():
    assert jacobian(lambda x: x[:0], X).shape == (0, 3)
    assert not hessian(lambda x: x.sum(), X).numpy().any()


@pytest.mark.parametrize(
    "run",
    [
        lambda: hessian(lambda x: x, X),
        lambda: hvp(curved, X, np.ones(2)),
        lambda: jvp(curved, X, np.ones(2)),
        lambda: jvp(curved, X),
        lambda: value_and_grad(lambda x: x.numpy())(X),
        lambda: jacobian(curved, np.arange(3)),
    ],
)
def test_misuse_is_refused(run):
    with pytest.raises((BadInput, ShapeError)):
        run()


@pytest.mark.parametrize(
    ("run", "remedy"),
    [
        (lambda: value_and_grad(number, (0, 1))(X, Y), "vjp"),
        (lambda: value_and_grad(number, 2)(X, Y), "counted from 0"),
        (lambda: value_and_grad(curved)(x=X), "counted from 0"),
        (lambda: value_and_grad(lambda p: p["x"].sum())({"x": X}), "argument of its own"),
        (lambda: value_and_grad(lambda p: p[0].sum())([X, Y]), "argument of its own"),
        (lambda: jacobian(lambda p: p["x"], {"x": X}), "argument of its own"),
        (lambda: jacobian(lambda x: (x, x), X), "one Tensor"),
        (lambda: vjp(lambda x: {"y": x}, X), "one Tensor"),
        (lambda: gradcheck(curved, Tensor(X, requires_grad=True)), "[x, y]"),
        (lambda: gradcheck(curved, [X]), "[x, y]"),
        (lambda: gradgradcheck(lambda x: (x, x), [Tensor(X, requires_grad=True)]), "one Tensor"),
        (lambda: grad(Tensor(X, requires_grad=True).sum(), X), "give one Tensor"),
        (lambda: grad(Tensor(X, requires_grad=True).sum(), {"x": Tensor(X)}), "give one Tensor"),
        (lambda: grad(Tensor(X, requires_grad=True).sum(), None), "give one Tensor"),
        (lambda: Tensor(X).mT, "T takes any"),
        (lambda: bool(Tensor(X)), "any()"),
        (lambda: bool(Tensor(np.zeros(0))), "any()"),
    ],
)
def test_what_a_newcomer_tries_is_answered_with_the_remedy(run, remedy):
    with pytest.raises(BadInput) as error:
        run()
    assert remedy in str(error.value)


def test_switches_are_given_by_name():
    """PyTorch has retain_graph before create_graph; a switch in the wrong place would not be noticed."""
    x = Tensor(X, requires_grad=True)
    for call in (lambda y: y.backward(None, True), lambda y: grad(y, x, None, True)):
        with pytest.raises(TypeError, match="positional"):
            call((x * x).sum())
