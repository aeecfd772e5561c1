"""NumPy's functions on Tensors: recorded where an op stands behind them, else refused while a gradient is wanted."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor, no_grad
from fedlearn.autograd import gradcheck
from fedlearn.autograd.numpy_face import UFUNCS, WITHOUT_GRADIENT
from fedlearn.autograd.tensor import RECORDED
from fedlearn.errors import BadInput, GraphError

A = np.array([[0.3, 0.5, 0.2], [0.9, 0.1, 0.4]])
SQUARE = A @ A.T

# Each is called with a matrix x; all of NumPy's functions that record are here, some more than once.
CALLS = {
    np.sum: lambda x: np.sum(x, axis=0),
    np.prod: lambda x: np.prod(x, 1, keepdims=True),
    np.mean: lambda x: np.mean(x, axis=(0, 1), dtype=np.float64),
    np.max: lambda x: np.max(x, axis=1),
    np.min: lambda x: np.min(x),
    np.amax: lambda x: np.amax(x, 0),
    np.amin: lambda x: np.amin(x, 0),
    np.var: lambda x: np.var(x, axis=1),
    np.std: lambda x: np.std(x, axis=1, ddof=1),
    np.cumsum: lambda x: np.cumsum(x, axis=1),
    np.cumprod: lambda x: np.cumprod(x, axis=0),
    np.clip: lambda x: np.clip(x, 0.25, 0.6),
    np.round: lambda x: np.round(x, 1) * x,
    np.reshape: lambda x: np.reshape(x, (3, 2)),
    np.ravel: lambda x: np.ravel(x),
    np.swapaxes: lambda x: np.swapaxes(x, 0, 1),
    np.moveaxis: lambda x: np.moveaxis(x, 0, 1),
    np.squeeze: lambda x: np.squeeze(x),
    np.flip: lambda x: np.flip(x, 1),
    np.diff: lambda x: np.diff(x, axis=1),
    np.diagonal: lambda x: np.diagonal(x, 1),
    np.trace: lambda x: np.trace(x),
    np.concatenate: lambda x: np.concatenate([x, 2 * x], axis=1),
    np.stack: lambda x: np.stack([x, A], axis=-1),
    np.hstack: lambda x: np.hstack([x, x]),
    np.vstack: lambda x: np.vstack([x, A]),
    np.where: lambda x: np.where(A > 0.3, x, 0),
    np.roll: lambda x: np.roll(x, 1, axis=1),
    np.repeat: lambda x: np.repeat(x, 2, axis=0),
    np.tile: lambda x: np.tile(x, (2, 1)),
    np.tril: lambda x: np.tril(x),
    np.triu: lambda x: np.triu(x, 1),
    np.diag: lambda x: np.diag(x, 1),
    np.dot: lambda x: np.dot(x, A.T),
    np.outer: lambda x: np.outer(x[0], A[1]),
    np.tensordot: lambda x: np.tensordot(x, A, axes=2),
    np.einsum: lambda x: np.einsum("ij,kj->ik", x, A),
    np.sort: lambda x: np.sort(x, axis=1),
    np.transpose: lambda x: np.transpose(x, (1, 0)),
    np.expand_dims: lambda x: np.expand_dims(x, 0),
    np.broadcast_to: lambda x: np.broadcast_to(x, (2, 2, 3)),
    np.copy: lambda x: np.copy(x),
    np.linalg.norm: lambda x: np.linalg.norm(x, axis=1),
}


def test_every_function_that_records_is_called_here():
    assert set(RECORDED) == set(CALLS)


@pytest.mark.parametrize("call", CALLS.values(), ids=[f.__name__ for f in CALLS])
def test_what_records_equals_numpys_and_is_differentiated(call):
    x = Tensor(A, requires_grad=True)
    y = call(x)
    assert isinstance(y, Tensor)
    assert y.requires_grad
    np.testing.assert_allclose(y.numpy(), call(A), rtol=1e-13)
    assert gradcheck(call, [x])


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda ufunc: ufunc.__name__)
def test_ufuncs_with_an_op_are_that_op(ufunc):
    x = Tensor(A + (ufunc is np.arccosh), requires_grad=True)
    others = [A.T if ufunc is np.matmul else A + 1] * (ufunc.nin - 1)
    assert isinstance(ufunc(x, *others), Tensor)
    assert isinstance(ufunc(*others, x) if others else ufunc(x), Tensor)
    np.testing.assert_allclose(ufunc(x, *others).numpy(), ufunc(x.numpy(), *others), rtol=1e-15)


REFUSED = {
    "median": np.median,
    "percentile": lambda x: np.percentile(x, 50),
    "cross": lambda x: np.cross(x, x),
    "kron": lambda x: np.kron(x, x),
    "pad": lambda x: np.pad(x, 1),
    "interp": lambda x: np.interp(0.5, x[0], x[1]),
    "linalg.inv": lambda x: np.linalg.inv(x[:, :2]),
    "linalg.svd": np.linalg.svd,
    "fft": np.fft.fft,
    "nan_to_num": np.nan_to_num,
    "average": np.average,
    "dstack": lambda x: np.dstack([x, x]),
    "select": lambda x: np.select([A > 0.3], [x]),
    "block": lambda x: np.block([[x], [x]]),
    "insert": lambda x: np.insert(x, 0, 1),
    "apply_along_axis": lambda x: np.apply_along_axis(np.sum, 0, x),
    "take": lambda x: np.take(x, [0]),
    "add.reduce": np.add.reduce,
    "cbrt": np.cbrt,
    "hypot": lambda x: np.hypot(x, 1),
    "sum into an array": lambda x: np.sum(x, out=np.zeros(())),
    "norm of a matrix order": lambda x: np.linalg.norm(x, "nuc"),
    "array": np.array,
    "asarray": np.asarray,
    "array of a list": lambda x: np.array([x, x]),
    "sum of a list": lambda x: np.sum([x[0], x[1]]),
    "assigned to an array": lambda x: np.zeros(3).__setitem__(..., x[0]),
    "put into a Tensor": lambda x: Tensor([x[0], x[1]]),
    "beside a list": lambda x: x * [x[0], x[1]],
    "out=": lambda x: np.add(x, 1, out=np.zeros((2, 3))),
    "where=": lambda x: np.exp(x, where=A > 0.3),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_does_not_record_is_refused_while_a_gradient_is_wanted(call):
    with pytest.raises((GraphError, BadInput)) as error:
        call(Tensor(A, requires_grad=True))
    assert "\n" not in str(error.value)


NOT_PLAIN = ("norm of a matrix order", "select", "where=", "beside a list", "assigned to an array", "put into a Tensor")


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in NOT_PLAIN])
def test_plain_tensors_and_no_grad_give_what_numpy_gives(name):
    call = REFUSED[name]
    with no_grad():
        call(Tensor(A, requires_grad=True))
    plain, expected = call(Tensor(A)), call(A)
    assert not isinstance(plain, Tensor)
    for got, want in zip(*((x if isinstance(x, tuple) else (x,)) for x in (plain, expected)), strict=True):
        np.testing.assert_array_equal(got, want)


AS_NUMPY_READS_THEM = {
    "cumsum of all": lambda x: np.cumsum(x),
    "cumsum, axis None": lambda x: np.cumsum(x, axis=None),
    "cumprod of all": lambda x: np.cumprod(x),
    "sort of all": lambda x: np.sort(x, axis=None),
    "concatenate of all": lambda x: np.concatenate([x, x * 2], axis=None),
    "clip by NumPy's names": lambda x: np.clip(x, a_min=0.33, a_max=0.77),
    "clip, the lower bound alone": lambda x: np.clip(x, 0.33, None),
    "two new axes": lambda x: np.expand_dims(x, (0, 2)),
    "norm of a vector, largest": lambda x: np.linalg.norm(x[0], np.inf),
    "norm of a vector, order 1": lambda x: np.linalg.norm(x.reshape(-1), 1),
    "norms of rows, order 3": lambda x: np.linalg.norm(x, 3, axis=1),
    "norm of a matrix, Frobenius": lambda x: np.linalg.norm(x, "fro"),
    "norm over two axes": lambda x: np.linalg.norm(x, axis=(0, 1), keepdims=True),
}


@pytest.mark.parametrize("call", AS_NUMPY_READS_THEM.values(), ids=AS_NUMPY_READS_THEM)
def test_arguments_mean_what_they_do_in_numpy(call):
    x = Tensor(A, requires_grad=True)
    np.testing.assert_allclose(call(x).detach().numpy(), call(A), rtol=1e-13)
    assert gradcheck(call, [x])


OF_NUMPY_ALONE = {
    "norm of a matrix, order 1": lambda x: np.linalg.norm(x, 1),
    "norm of a matrix, order 2": lambda x: np.linalg.norm(x, 2),
    "norm of a matrix, infinity": lambda x: np.linalg.norm(x, np.inf, axis=(0, 1)),
    "kind of a sort": lambda x: np.sort(x, 0, "stable"),
    "dtype of a sum": lambda x: np.sum(x, 0, np.float64),
    "order of a shape": lambda x: np.reshape(x, (3, 2), order="F"),
}


@pytest.mark.parametrize("call", OF_NUMPY_ALONE.values(), ids=OF_NUMPY_ALONE)
def test_arguments_of_numpy_alone_are_numpys_or_refused_by_name(call):
    np.testing.assert_array_equal(call(Tensor(A)), call(A))
    with pytest.raises(GraphError, match="with these arguments"):
        call(Tensor(A, requires_grad=True))


@pytest.mark.parametrize("call", [lambda x: x.cumsum(None), lambda x: x.cumprod(None), lambda x: x.sort(None)])
def test_what_goes_along_an_axis_is_not_given_none(call):
    with pytest.raises(BadInput, match="give one"):
        call(Tensor(A))


PLAIN = [np.shape, np.ndim, np.size, np.zeros_like, np.argmax, np.argsort, np.any, np.isnan]


@pytest.mark.parametrize("function", PLAIN)
def test_what_has_no_gradient_is_plain(function):
    result = function(Tensor(A, requires_grad=True))
    assert not isinstance(result, Tensor)
    np.testing.assert_array_equal(result, function(A))
    assert function in WITHOUT_GRADIENT or isinstance(function, np.ufunc)


def test_the_lost_gradients_that_were_reported():
    for expression, right in [
        (lambda x: x * np.stack([x, x])[0], [0.6, 1, 0.4]),
        (lambda x: x * np.where(x > 0, x, 0), [0.6, 1, 0.4]),
        (lambda x: x / np.linalg.norm(x), [0.34152, -0.51228, 0.76842]),
        (lambda x: x * np.dot(x, x), [0.98, 1.38, 0.78]),
        (lambda x: x * np.clip(x, 0, 0.4), [0.6, 0.4, 0.4]),
    ]:
        x = Tensor(np.array([0.3, 0.5, 0.2]), requires_grad=True)
        expression(x).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), right, atol=2e-5)
