"""Which numbers tensors hold, and in which precision they compute, whatever an array went through before."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from fedlearn import Tensor, grad, nn
from fedlearn.autograd import gradcheck, ops
from fedlearn.autograd.sparse import add_to_rows
from fedlearn.errors import BadInput
from fedlearn.nn import functional as F

DOUBLES = {
    "pickled": lambda x: pickle.loads(pickle.dumps(x)),
    "big-endian": lambda x: x.astype(">f8"),
    "with metadata": lambda x: x.astype(np.dtype("f8", metadata={"unit": "m"})),
}


@pytest.mark.parametrize("through", DOUBLES.values(), ids=DOUBLES)
def test_a_double_stays_a_double(through):
    array = through(np.array([0.1, 0.2, 0.7]) + 1e-9)
    x = Tensor(array, requires_grad=True)
    assert x.dtype == np.float64
    assert x.sum().dtype == np.float64
    assert x.sum().item() == pytest.approx(1 + 3e-9, abs=1e-15)
    assert (Tensor(2.0).sum() * array).dtype == np.float64
    assert gradcheck(lambda t: (t * t).sum(), [x])
    (x * array).sum().backward()
    assert x.grad.numpy().tolist() == array.tolist()


def test_rows_are_added_to_a_pickled_table():
    table, values = pickle.loads(pickle.dumps(np.zeros((3, 2)))), np.ones((1, 2))
    add_to_rows(table, np.array([2]), np.array([0, 1]), values)
    assert table.tolist() == [[0, 0], [0, 0], [1, 1]]


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, "a"], object),
        np.array(["a"]),
        np.array(["2024-01-01"], "M8[D]"),
        np.array([1], "m8[s]"),
        np.array([1j]),
        np.array([1], np.longdouble),
        np.array([(1,)], [("a", "i4")]),
        np.array([b"x"]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_what_is_no_number_is_refused(array):
    with pytest.raises(BadInput, match="tensor holds"):
        Tensor(array)


def test_big_endian_half_precision_and_whole_numbers_are_read():
    for dtype in (">f2", ">f4", ">i2", ">u8", "f2", "?"):
        x = Tensor(np.array([0, 1], dtype))
        assert x.dtype.isnative
        assert x.numpy().tolist() == [0, 1]
    assert ops.sum_(Tensor(np.ones(3, "f2"))).dtype == np.float16


def test_a_number_without_axes_widens_what_could_not_hold_the_result():
    assert (Tensor(np.array([1], np.int8)) + Tensor(np.array(300))).tolist() == [301]
    assert (Tensor(np.ones(2, np.float16)) * Tensor(np.array(2.5))).dtype == np.float32
    assert (Tensor(np.ones(2, np.float32)) * Tensor(np.array(2.5))).dtype == np.float32


class _UnreadableArray:
    """As PyTorch's tensor of bfloat16 is."""

    shape = (2, 2)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


HIDDEN = np.ma.masked_equal(np.eye(2), 1)
X = Tensor(np.eye(2), requires_grad=True)
READERS = {
    "Tensor": Tensor,
    "Parameter": nn.Parameter,
    "an operand": lambda a: X.add(a),
    "a function's": lambda a: F.mse_loss(X, a),
    "a layer's": lambda a: nn.Linear(2, 2)(a),
    "a gradient": lambda a: (X * 2).backward(a),
    "grad's": lambda a: grad(X * 2, X, a),
    "a graph's": lambda a: (X * 2).backward(a, create_graph=True),
    ".grad": lambda a: setattr(nn.Parameter(np.eye(2)), "grad", a),
    ".data": lambda a: setattr(nn.Parameter(np.eye(2)), "data", a),
    "written": lambda a: Tensor(np.eye(2)).__setitem__(..., a),
    "a state's": lambda a: nn.Linear(2, 2).load_state_dict({"weight": a, "bias": np.zeros(2)}),
}
OTHERS = {
    "masked": HIDDEN,
    "text": np.eye(2).astype(str),
    "complex": np.eye(2) * 1j,
    "objects": np.eye(2).astype(object),
    "dates": np.zeros((2, 2), "M8[D]"),
    "unequal": [[1.0], [1.0, 2.0]],
    "masked rows": list(HIDDEN),
    "another library's": _UnreadableArray(),
}


@pytest.mark.parametrize("given", OTHERS)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_number_or_hidden_is_refused_wherever_numbers_are_read(reader, given):
    with pytest.raises(BadInput):
        READERS[reader](OTHERS[given])


@pytest.mark.parametrize(
    "given", [None, {}, {1}, "a", 1j, [2**70], (number for number in [1])], ids=lambda x: type(x).__name__
)
def test_what_is_no_tensor_at_all_is_named(given):
    with pytest.raises(BadInput, match="is no tensor"):
        Tensor(given)


@pytest.mark.parametrize("reader", READERS)
def test_a_mask_that_hides_nothing_is_no_matter(reader):
    READERS[reader](np.ma.array(np.eye(2)))


def test_a_gradient_keeps_the_digits_of_a_number():
    x = Tensor(np.array([2.0]), requires_grad=True)
    (x * 1).backward([0.1])
    assert x.grad.tolist() == [0.1]


def test_another_librarys_array_of_one_number_is_an_array_as_an_index():
    torch = pytest.importorskip("torch")
    x = Tensor(np.array([1.0, 2.0]))
    assert x[torch.tensor([1])].tolist() == [2]
    assert x[torch.tensor(1)].tolist() == 2
    assert x[torch.tensor([True, False])].tolist() == [1]
    with pytest.raises(BadInput, match="BFloat16"):
        Tensor(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(BadInput, match="masked"):
        x[np.ma.masked_equal([0, 1], 1)]
