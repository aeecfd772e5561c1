"""Tensor's methods take PyTorch's arguments and NumPy's, and Python's functions work on Tensors."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor
from fedlearn.autograd import ops
from fedlearn.errors import BadInput, ShapeError

torch = pytest.importorskip("torch")
A = np.random.default_rng(1).standard_normal((2, 3, 4))

SAME = {  # the same expression for both
    "transpose two": lambda x: x.transpose(0, 2),
    "transpose negative": lambda x: x.transpose(-1, 0),
    "transpose a matrix": lambda x: x[0].transpose(0, 1),
    "permute": lambda x: x.permute(2, 0, 1),
    "permute a tuple": lambda x: x.permute((2, 0, 1)),
    "sum": lambda x: x.sum(dim=1),
    "sum keepdim": lambda x: x.sum(1, keepdim=True),
    "sum of two": lambda x: x.sum(dim=(0, -1)),
    "sum of a list": lambda x: x.sum(dim=[0, 2]),
    "mean": lambda x: x.mean(dim=-1, keepdim=True),
    "var": lambda x: x.var(dim=0, correction=0),
    "std": lambda x: x.std(dim=0),
    "amax": lambda x: x.amax(dim=(0, 1)),
    "argmax": lambda x: x.argmax(dim=1),
    "argmin": lambda x: x.argmin(),
    "argsort": lambda x: x.argsort(dim=1, descending=True),
    "sort": lambda x: x.sort(dim=0)[0],
    "sort places": lambda x: x.sort(descending=True)[1],
    "topk": lambda x: x.topk(2)[0],
    "topk places": lambda x: x.topk(2, 1, largest=False)[1],
    "softmax": lambda x: x.softmax(dim=1),
    "logsumexp": lambda x: x.logsumexp(dim=1, keepdim=True),
    "cumsum": lambda x: x.cumsum(dim=1),
    "cumprod": lambda x: x.cumprod(1),
    "squeeze": lambda x: x[:1].squeeze(dim=0),
    "unsqueeze": lambda x: x.unsqueeze(dim=-1),
    "flatten": lambda x: x.flatten(),
    "flatten from": lambda x: x.flatten(1),
    "flatten between": lambda x: x.flatten(start_dim=0, end_dim=1),
    "view": lambda x: x.view(4, -1),
    "reshape a shape": lambda x: x.reshape((6, 4)),
    "expand": lambda x: x[:1].expand(5, -1, -1),
    "repeat": lambda x: x.repeat(2, 1, 3),
    "repeat once": lambda x: x[0, 0].repeat(3),
    "tile": lambda x: x.tile((2, 1)),
    "repeat_interleave": lambda x: x.repeat_interleave(2, dim=1),
    "roll": lambda x: x.roll(1, 0),
    "roll dims": lambda x: x.roll(shifts=(1, 2), dims=(0, 2)),
    "flip": lambda x: x.flip(0),
    "flip two": lambda x: x.flip((0, 1)),
    "flip two, one after another": lambda x: x.flip(0, 1),
    "diff": lambda x: x.diff(dim=1),
    "diagonal": lambda x: x.diagonal(1, 1, 2),
    "tril": lambda x: x.tril(-1),
    "split": lambda x: x.split(2, dim=2)[1],
    "split sizes": lambda x: x.split([1, 2], dim=1)[1],
    "movedim": lambda x: x.movedim(0, -1),
    "gather": lambda x: x.gather(1, x.argsort(1)[:, :2]),
    "masked_fill": lambda x: x.masked_fill(x > 0, -1),
    "clamp": lambda x: x.clamp(min=-0.5, max=0.5),
    "clamp one": lambda x: x.clamp(max=0.5),
    "norm": lambda x: x.norm(),
    "norm p": lambda x: x.norm(1, dim=1),
    "norm keepdim": lambda x: x.norm(p=3, dim=1, keepdim=True),
    "prod": lambda x: x.prod(),
    "prod dim": lambda x: x.prod(dim=1),
    "any": lambda x: (x > 0).any(),
    "t": lambda x: x[0].t(),
    "mT": lambda x: x.mT,
    "trace": lambda x: x[0].trace(),
    "outer": lambda x: x[0, 0].outer(x[0, 1]),
    "dot": lambda x: x[0, 0].dot(x[0, 1]),
    "clone": lambda x: x.clone(),
    "plus": lambda x: +x,
    "remainder": lambda x: x % 0.7,
    "reflected remainder": lambda x: 1 % (x.abs() + 0.5),
    "floor division": lambda x: x // 0.3,
    "reflected floor division": lambda x: 2 // (x.abs() + 0.3),
    "round": lambda x: x.round(decimals=1),
    "methods of operators": lambda x: x.add(1).sub(2).mul(3).div(4).pow(2).neg(),
    "atan2": lambda x: x.atan2(x + 1),
    "maximum": lambda x: x.maximum(-x),
    "double": lambda x: x.double(),
    "float": lambda x: x.float(),
    "long": lambda x: (3 * x).long(),
    "ellipsis": lambda x: x[..., None, 1],
    "negative index": lambda x: x[-1, :, -2:],
}


@pytest.mark.parametrize("run", SAME.values(), ids=SAME)
def test_what_pytorch_does(run):
    ours, theirs = run(Tensor(A)), run(torch.tensor(A))
    ours = ours.numpy() if isinstance(ours, Tensor) else ours
    assert np.asarray(ours).dtype == theirs.numpy().dtype
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)


NUMPYS = {  # the same expression for an array
    "transpose all": lambda x: x.transpose(2, 0, 1),
    "transpose a tuple": lambda x: x.transpose((1, 0, 2)),
    "transpose": lambda x: x.transpose(),
    "T": lambda x: x.T,
    "sum": lambda x: x.sum(axis=(0, 1), keepdims=True),
    "repeat": lambda x: x.repeat(2, axis=1),
    "squeeze": lambda x: x[:1].squeeze(axis=0),
    "clip": lambda x: x.clip(-0.1, 0.1),
    "cumsum": lambda x: x.cumsum(axis=1),
    "ravel": lambda x: x.ravel(),
    "list index": lambda x: x[[1, 0]],
    "empty list index": lambda x: x[[]],
    "empty list index of an axis": lambda x: x[:, []],
    "mask": lambda x: x[x > 0],
    "two lists": lambda x: x[[0, 1], [2, 1]],
    "new axis": lambda x: x[:, np.newaxis],
    "bool list": lambda x: x[[True, False]],
    "tolist": lambda x: x.tolist(),
    "NumPy's integers": lambda x: x.sum(np.int64(1)).reshape(np.int64(4), np.int64(2))[np.int64(1)],
}


@pytest.mark.parametrize("run", NUMPYS.values(), ids=NUMPYS)
def test_what_numpy_does(run):
    ours = run(Tensor(A))
    np.testing.assert_array_equal(ours.numpy() if isinstance(ours, Tensor) else ours, run(A))


def test_pythons_own_functions():
    x = Tensor(2.71828)
    assert (int(x), round(x, 2).item(), f"{x:.2f}", f"{x}") == (2, pytest.approx(2.72), "2.72", "Tensor(2.7183)")
    assert [10, 20, 30][Tensor(np.array(1))] == 20
    assert 3 in Tensor([1, 2, 3])
    assert 4 not in Tensor([1, 2, 3])
    assert sum([Tensor(1.0), Tensor(2.0)]).item() == 3
    assert max(Tensor([1.0, 3.0, 2.0])).item() == 3
    assert (~Tensor(np.array([True, False]))).tolist() == [False, True]
    with pytest.raises(ShapeError):
        f"{Tensor([1.0, 2.0]):.2f}"
    with pytest.raises(TypeError):
        [1, 2][Tensor(1.0)]


@pytest.mark.parametrize("spec", ["ii->i", "ii", "iij->ij", "iji,jk->ik", "iijj", "...ii->...i"])
def test_einsum_takes_diagonals(spec):
    shapes = {"i": 2, "j": 3, "k": 4}
    rng = np.random.default_rng(0)
    terms = spec.split("->")[0].split(",")
    arrays = [rng.standard_normal([3] * ("..." in term) + [shapes[c] for c in term.strip(".")]) for term in terms]
    np.testing.assert_allclose(ops.einsum(spec, *map(Tensor, arrays)).numpy(), np.einsum(spec, *arrays), rtol=1e-12)


REFUSED = {
    "axis": lambda x: x.sum(3),
    "axis of squeeze": lambda x: x.squeeze(0),
    "unknown argument": lambda x: x.sum(nonsense=1),
    "too many": lambda x: x.exp(1),
    "gather of floats": lambda x: x.gather(0, np.zeros((1, 1, 1))),
    "gather out of range": lambda x: x.gather(0, np.full((1, 1, 1), 7)),
    "topk": lambda x: x.topk(9),
    "split": lambda x: x.split(0),
    "split sizes": lambda x: x.split([1, 1], dim=2),
    "tile": lambda x: x.tile((-1,)),
    "diagonal of one axis": lambda x: x.diagonal(0, 1, 1),
    "trace of a vector": lambda x: x[0, 0].trace(),
    "tril of a vector": lambda x: x[0, 0].tril(),
    "t": lambda x: x.t(),
    "flatten": lambda x: x.flatten(2, 1),
    "transpose": lambda x: x.transpose(0, 5),
    "permute": lambda x: x.permute(0, 1),
    "moveaxis": lambda x: x.moveaxis(0, 3),
    "index": lambda x: x[5],
    "float index": lambda x: x[1.5],
    "text index": lambda x: x["a"],
    "comparison": lambda x: x < np.ones(7),
    "bits of floats": lambda x: x & 1,
    "not of floats": lambda x: ~x,
    "bool minus": lambda x: Tensor(np.array([True])) - Tensor(np.array([True])),
    "whole numbers by 0": lambda x: Tensor(np.array([2, 3])) // 0,
    "remainder of whole numbers by 0": lambda x: Tensor(np.array([2, 3])) % np.array([1, 0]),
    "norm": lambda x: x.norm("nuc"),
    "expand": lambda x: x.expand(2, 3, 5),
    "einsum": lambda x: ops.einsum("iij", x),
    "tensordot": lambda x: ops.tensordot(x, x, 1),
    "roll": lambda x: x.roll((1, 2)),
    "objects": lambda x: x + np.array([object()], object),
    "complex": lambda x: x * np.ones(4, complex),
    "text": lambda x: x * np.array(["a"]),
    "view": lambda x: x.view(5),
    "axis twice": lambda x: x.sum(0, axis=1),
    "axis by two names": lambda x: x.mean(dim=0, axis=1),
    "axis of a function twice": lambda x: ops.softmax(x, dim=0, axis=1),
    "axis of a composed one twice": lambda x: x.roll(1, axis=0, dims=1),
    "freedom twice": lambda x: x.std(0, unbiased=False, correction=1),
    "shape twice": lambda x: x.reshape(24, shape=(4, 6)),
    "size twice": lambda x: x.expand(2, 3, 4, size=(5, 2, 3, 4)),
    "axes twice": lambda x: x.swapaxes(0, 1, dim1=2),
    "bound twice": lambda x: x.clip(0, min=1),
    "order twice": lambda x: x.norm(1, ord=2),
    "ragged shape": lambda x: x.reshape([[1], [1, 2]]),
    "ragged factor": lambda x: x[0].mm([[1.0], [1.0, 2.0]]),
    "no dtype": lambda x: x.to(),
    "dtype twice": lambda x: x.to("cpu", dtype=np.float64),
    "repeats twice": lambda x: x.repeat(2, 1, 1, repeats=3),
}


@pytest.mark.parametrize("run", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(run):
    with pytest.raises(BadInput) as error:
        run(Tensor(A, requires_grad=True))
    assert "\n" not in str(error.value)
    assert "__" not in str(error.value)  # of Python's insides


def test_an_inverse_root_of_minus_infinity_is_no_number():
    with_sign = Tensor(np.array([-np.inf, -0.0, 4.0]))
    np.testing.assert_array_equal(with_sign.rsqrt().numpy(), [np.nan, -np.inf, 0.5])


def test_errors_call_a_method_as_the_user_does():
    x = Tensor(np.ones((2, 3)))
    said = {}
    for name in (name for name in dir(x) if not name.startswith("_") and callable(getattr(x, name, None))):
        try:
            getattr(x, name)(nonsense=1)
        except (TypeError, BadInput) as error:
            said[name] = str(error)
    assert len(said) > 150
    assert not [text for text in said.values() if "<" in text or "Operators" in text or "TorchNames" in text]
    for name in ("add", "div", "pow"):
        assert said[name] == f"{name}() got an unexpected keyword argument 'nonsense'"
