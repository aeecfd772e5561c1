"""Many numbers are selected by their bits: the same numbers, what is infinite or nan among them, of any layout."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn.autograd import Tensor, ops
from fedlearn.autograd.ops.select import MANY, masked, unmasked


def numbers(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.default_rng(1).standard_normal(shape)
    values.flat[::7], values.flat[1::11], values.flat[2::13] = np.inf, np.nan, -0.0
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", ">f8", "f2"])
@pytest.mark.parametrize("layout", ["as it is", "Fortran", "strided", "backwards"])
def test_numbers_are_selected_and_not_multiplied(dtype, layout):
    g = numbers(dtype, (2 * MANY, 4))
    g = {"as it is": g, "Fortran": np.asfortranarray(g), "strided": g[::2], "backwards": g[::-1]}[layout]
    mask = np.random.default_rng(2).random(g.shape) < 0.5
    for found, expected in ((masked(mask, g), np.where(mask, g, 0)), (unmasked(mask, g), np.where(mask, 0, g))):
        assert found.dtype.kind == "f"
        np.testing.assert_array_equal(found, expected)
    row = mask[:1]
    np.testing.assert_array_equal(masked(row, g), np.where(row, g, 0))
    np.testing.assert_array_equal(masked(False, g), np.zeros(g.shape))
    np.testing.assert_array_equal(unmasked(False, g), g)


def test_a_rectifier_passes_no_infinite_gradient_where_it_is_flat():
    x = Tensor(numbers("f4", (MANY, 2)), requires_grad=True)
    ops.sqrt(ops.relu(x)).sum().backward()
    with np.errstate(divide="ignore"):
        expected = np.where(np.isnan(x.numpy()), np.nan, np.where(x.numpy() > 0, 0.5 / np.sqrt(x.numpy().clip(0)), 0))
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)
