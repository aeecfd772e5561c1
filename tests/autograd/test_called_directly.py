"""Ops called as functions: NumPy's and PyTorch's names of axes, and nothing that an op would write into."""

from __future__ import annotations

import inspect
import re
from contextlib import suppress

import numpy as np
import pytest

from fedlearn import Tensor
from fedlearn.autograd import ops
from fedlearn.autograd.graph import OPS, Op
from fedlearn.errors import BadInput, ShapeError

X = np.random.default_rng(1).standard_normal((2, 3))
ALONG = [name for name, op in OPS.items() if {"x", "axis"} <= inspect.signature(op.forward).parameters.keys()]
CALLS = {"too many": ([X] * 9, {}), "too few": ([], {}), "unknown": ([X, X], {"foo": 1})}


@pytest.mark.parametrize("name", ALONG)
def test_an_axis_has_pytorchs_name_too(name):
    op = OPS[name]
    more = {"shift": 1} if name == "roll" else {}
    x = Tensor(X, requires_grad=True)
    np.testing.assert_array_equal(op(x, dim=1, **more).numpy(), op(x, axis=1, **more).numpy())
    np.testing.assert_array_equal(op(X, dim=1, **more), op(X, axis=1, **more))
    if "keepdims" in inspect.signature(op.forward).parameters:
        assert op(x, dim=1, keepdim=True, **more).shape == (2, 1)
        assert op(x, dim=[0, 1], **more).shape == ()
        with pytest.raises(BadInput, match="keepdim"):
            op(x, dim=1, keepdim="no", **more)


def test_so_does_what_is_biased():
    np.testing.assert_array_equal(ops.var(Tensor(X), dim=1, unbiased=False).numpy(), X.var(axis=1))


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if isinstance(op.forward, np.ufunc)])
def test_an_op_of_numpys_writes_nowhere_and_leaves_nothing_out(name):
    """NumPy's function takes out, where and dtype besides."""
    op = OPS[name]
    inputs, other = [Tensor(X[0])] * op.forward.nin, Tensor(np.zeros(3))
    calls = {
        "given": ([other], {}),
        "out": ([], {"out": other}),
        "where": ([], {"where": X[0] > 0}),
        "dtype": ([], {"dtype": "f"}),
    }
    for word, (more, named) in calls.items():
        with pytest.raises(BadInput, match=word):
            op(*inputs, *more, **named)
        with pytest.raises(BadInput, match=word):
            op(*[X[0]] * op.forward.nin, *more, **named)
    assert other.tolist() == [0, 0, 0]


@pytest.mark.parametrize("wrong", CALLS)
@pytest.mark.parametrize("name", OPS)
def test_arguments_that_do_not_fit_are_told_in_the_ops_own_name(name, wrong):
    given, named = CALLS[wrong]
    if name == "cross_entropy_slope" and named:
        return  # it hands them on to cross_entropy, whose slope it is
    with pytest.raises(BadInput) as caught:
        OPS[name](*given, **named)
    assert set(re.findall(r"([\w.<>]+)\(\) ", str(caught.value))) <= {name}


@pytest.mark.parametrize("odd", [3.0, [1.0, 2.0], [[1.0], [1.0, 2.0]], None, "a", np.array(["a"]), object], ids=repr)
@pytest.mark.parametrize("name", OPS)
def test_what_is_no_array_gives_a_number_or_a_typed_error(name, odd):
    for given in ([odd], [Tensor(X), odd], [odd, Tensor(X)]):
        with suppress(BadInput):
            OPS[name](*given)


def test_a_product_that_does_not_fit_says_what_would():
    for other in (Tensor(X), 3):
        with pytest.raises(ShapeError, match="as many columns as the second has rows"):
            Tensor(X) @ other


def test_two_ops_of_one_function_each_have_their_own_name():
    def doubled(x):
        return 2 * x

    try:
        one, two = Op("one", doubled), Op("two", doubled)
        for op in (one, two):
            with pytest.raises(BadInput, match=rf"{op.name}\(\) takes 1 positional argument but 2 were given"):
                op(X, X)
        assert doubled.__name__ == "doubled"
    finally:
        del OPS["one"], OPS["two"]
