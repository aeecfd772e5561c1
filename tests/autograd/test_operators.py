"""Operators beside arrays and strangers: they answer what they know, and change nothing that they are given."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor
from fedlearn.errors import BadInput, GraphError
from tests.autograd.test_inplace import PLAIN, each_operator, leaf, square


def test_an_array_is_changed_by_plain_tensors_only():
    a, x = np.ones(2), leaf(1.0, 2.0)
    with pytest.raises(GraphError):
        a += x
    a += x.detach()
    assert a.tolist() == [2, 3]
    x.data -= 0.5 * x.detach()
    assert x.numpy().tolist() == [0.5, 1]
    with pytest.raises(BadInput):
        np.add(a, a, out=Tensor(a))


class Other:
    def __radd__(self, other):
        return "theirs"

    def __rmatmul__(self, other):
        return "theirs"

    def __gt__(self, other):
        return "theirs"


def test_operators_leave_what_they_do_not_know_to_the_other_side():
    x = leaf(1.0, 2.0)
    assert x + Other() == "theirs"
    assert x @ Other() == "theirs"
    assert (x < Other()) == "theirs"
    for nonsense in (None, "a", {}, object()):
        with pytest.raises(TypeError):
            x * nonsense
        with pytest.raises(TypeError):
            nonsense - x
        assert (x == nonsense) is False
    with pytest.raises(TypeError):
        x += None


@each_operator
def test_operators_do_not_change_their_operands(name):
    x, other = square(name, grad=True), np.array([[1.5, 2.0], [0.5, 3.0]])
    kept = other.copy()
    y = PLAIN[name](x, other)
    y.sum().backward()
    PLAIN[name](other, x)
    np.testing.assert_array_equal(other, kept)
    np.testing.assert_array_equal(x.numpy(), square(name).numpy())
