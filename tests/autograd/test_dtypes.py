"""Which numbers tensors hold, and in which precision they compute, whatever an array went through before."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from fedlearn import Tensor
from fedlearn.autograd import gradcheck, ops
from fedlearn.autograd.sparse import add_to_rows
from fedlearn.errors import BadInput

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
