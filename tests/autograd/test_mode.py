"""Recording switched off and on again, by a block or a decorator."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor, enable_grad, nn, no_grad
from fedlearn.autograd import jacobian
from fedlearn.errors import BadInput, GraphError

X = Tensor(np.ones(2), requires_grad=True)


@pytest.mark.parametrize("decorate", [no_grad, no_grad()], ids=["bare", "with brackets"])
def test_a_decorated_function_records_nothing(decorate):
    @decorate
    def thrice(x):
        return 3 * x

    assert not thrice(X).requires_grad
    assert thrice.__name__ == "thrice"
    with no_grad():
        assert enable_grad(lambda x: 3 * x)(X).requires_grad


def test_a_copy_of_a_computed_tensor_would_lose_the_gradient():
    computed = 2 * X
    for copy in (Tensor, nn.Buffer):
        with pytest.raises(GraphError, match="as it is"):
            copy(computed)
        assert copy(computed.detach()).tolist() == [2, 2]
        with no_grad():
            assert copy(computed).tolist() == [2, 2]
    assert nn.Parameter(computed).is_leaf
    assert jacobian(lambda x: x * x, computed).tolist() == [[4, 0], [0, 4]]


def test_what_would_compute_after_the_end_is_refused():
    def one_by_one():
        yield 2 * X

    async def later():
        return 2 * X

    for function in (one_by_one, later):
        with pytest.raises(BadInput, match="within it"):
            no_grad()(function)
    with pytest.raises(BadInput, match="a function to decorate"):
        no_grad(False)
