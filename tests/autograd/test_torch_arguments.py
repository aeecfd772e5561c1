"""Methods under PyTorch's names take its arguments, by position and by name, and refuse what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor
from fedlearn.errors import BadInput

torch = pytest.importorskip("torch")
A = np.random.default_rng(1).standard_normal((2, 3, 4))

SAME = {  # the same expression for both
    "sum over a list of axes": lambda x: x.sum([0, 2], True),
    "var, biased": lambda x: x.var(1, False),
    "var of all, biased": lambda x: x.var(False),
    "var, unbiased": lambda x: x.var(0, True),
    "std of two axes": lambda x: x.std((0, 2), False, True),
    "std by names": lambda x: x.std(dim=1, unbiased=False, keepdim=True),
    "std, correction": lambda x: x.std(dim=-1, correction=2),
    "add, alpha": lambda x: x.add(x, alpha=2),
    "add by name": lambda x: x.add(other=3),
    "sub, alpha": lambda x: x.sub(x[0], alpha=0.5),
    "div, floor": lambda x: x.div(0.3, rounding_mode="floor"),
    "div, trunc": lambda x: x.div(x[0], rounding_mode="trunc"),
    "div": lambda x: x.div(2, rounding_mode=None),
    "pow": lambda x: x.pow(exponent=2),
    "mul by name": lambda x: x.mul(other=x),
    "maximum by name": lambda x: x.maximum(other=x * 0),
    "sort, stable": lambda x: x.sort(dim=1, stable=True)[0],
    "topk, sorted": lambda x: x.topk(2, 1, True, True)[0],
    "split by name": lambda x: x.split(split_size=2, dim=2)[0],
    "view by name": lambda x: x.view(size=(6, 4)),
    "reshape by name": lambda x: x.reshape(shape=(4, -1)),
    "permute by name": lambda x: x.permute(dims=(2, 0, 1)),
    "transpose by name": lambda x: x.transpose(dim0=0, dim1=-1),
    "swapaxes by name": lambda x: x.swapaxes(axis0=0, axis1=1),
    "swapdims by name": lambda x: x.swapdims(dim0=0, dim1=1),
    "tile": lambda x: x.tile(2, 1, 3),
    "tile by name": lambda x: x.tile(dims=(2, 1)),
    "diag by name": lambda x: x[0].diag(diagonal=-1),
    "diagonal by name": lambda x: x.diagonal(offset=1, dim1=0, dim2=2),
    "outer by name": lambda x: x[0, 0].outer(vec2=x[0, 1]),
    "in place, alpha": lambda x: (x * 1).add_(x, alpha=-2),
    "in place": lambda x: (x * 1).div_(other=x + 5),
}


@pytest.mark.parametrize("run", SAME.values(), ids=SAME)
def test_values_and_gradients_are_pytorchs(run):
    x, y = Tensor(A, requires_grad=True), torch.tensor(A, requires_grad=True)
    ours, theirs = run(x), run(y)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12, atol=1e-12)
    (ours * ours).sum().backward()
    (theirs * theirs).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_size_is_numpys_number_and_pytorchs_shape():
    x, y = Tensor(A), torch.tensor(A)
    assert x.size == A.size == y.numel()
    assert x.size() == y.size()
    assert [x.size(0), x.size(-1), x.size(dim=1)] == [y.size(0), y.size(-1), y.size(dim=1)]
    assert x.view(x.size(0), -1).shape == y.view(y.size(0), -1).shape
    for wrong in (3, "a"):
        with pytest.raises(BadInput, match=r"of shape \(2, 3, 4\)"):
            x.size(wrong)


def test_places_are_found_and_added_to():
    x, y = Tensor(A), torch.tensor(A)
    assert [a.tolist() for a in (x > 0).nonzero()] == [b.tolist() for b in (y > 0).nonzero(as_tuple=True)]
    assert [a.tolist() for a in x.nonzero(as_tuple=True)] == [b.tolist() for b in y.nonzero(as_tuple=True)]
    places = np.array([1, 1, 0])
    ours = x.index_add(dim=1, index=places, source=A, alpha=2)
    theirs = y.index_add(dim=1, index=torch.tensor(places), source=y, alpha=2)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy())
    assert x.argsort(dim=1, stable=True).tolist() == y.argsort(dim=1, stable=True).tolist()


METHODS = (
    *("add", "sub", "mul", "div", "pow", "matmul", "remainder", "floor_divide", "atan2", "maximum", "minimum"),
    *("logaddexp", "add_", "sub_", "mul_", "div_", "eq", "ne", "lt", "le", "gt", "ge"),
)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("other", [None, "1", {}, object()], ids=["None", "text", "dict", "object"])
def test_a_method_refuses_what_is_no_number(name, other):
    """An operator says NotImplemented, for Python; of a method that would be a result."""
    x = Tensor(A)
    with pytest.raises(BadInput):
        getattr(x, name)(other)
    assert x.tolist() == A.tolist()


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x.var(0, np.float64),
        lambda x: x.std(0, 1),
        lambda x: x.div(2, rounding_mode="up"),
    ],
)
def test_what_pytorch_does_not_mean_is_refused(run):
    with pytest.raises(BadInput, match="give"):
        run(Tensor(A))
