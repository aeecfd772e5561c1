"""Kernel plans: what they hold, what they refuse, and that compiled kernels compute what NumPy's do."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from fedlearn import Tensor, nn
from fedlearn.autograd import recurrent
from fedlearn.autograd.recurrent import plan
from fedlearn.errors import BadInput

needs_numba = pytest.mark.skipif(
    find_spec("numba") is None, reason="numba is not installed: pip install fedlearn[fast]"
)


@pytest.fixture(autouse=True)
def plan_as_before():
    before = recurrent.current()
    yield
    recurrent.use(before)


def test_a_plan_travels_as_plain_data():
    measured = recurrent.KernelPlan.measure(4, 32)
    assert recurrent.KernelPlan.from_dict(measured.to_dict()) == measured
    assert recurrent.current() == recurrent.KernelPlan()
    recurrent.use(measured)
    assert recurrent.current() is measured


@pytest.mark.parametrize("given", [{"forward_block": 7}, {"colour": 1}])
def test_an_unknown_plan_is_refused(given):
    with pytest.raises(BadInput):
        recurrent.KernelPlan.from_dict(given)


@pytest.mark.skipif(find_spec("numba") is not None, reason="numba is installed")
def test_a_compiled_plan_needs_numba():
    with pytest.raises(BadInput, match="numba"):
        recurrent.KernelPlan(compiled=True)


@pytest.mark.parametrize("block", [0, 32, 64, 128])
@pytest.mark.parametrize("stacked", [False, True])
def test_a_product_in_blocks_is_the_product(block, stacked):
    rng = np.random.default_rng(0)
    matrices, a = rng.standard_normal((3, 96, 128)), rng.standard_normal((3, 5, 96) if stacked else (5, 96))
    out = np.empty((3, 5, 128))
    plan.times(matrices, block)(a, out)
    np.testing.assert_allclose(out, a @ matrices, rtol=1e-12)


def run(name: str, hidden: int, dtype: type, table: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    layer = getattr(nn, name)(6, hidden, rng=rng).to(dtype)
    state = [Tensor(rng.standard_normal((1, 3, hidden)).astype(dtype), requires_grad=True) for _ in range(layer.states)]
    hx = tuple(state) if layer.states > 1 else state[0]
    words = Tensor(rng.standard_normal((4, 6)).astype(dtype), requires_grad=True)
    indices = rng.integers(0, 4, (7, 3))
    y, last = layer.embedded(indices, words, hx) if table else layer(words[indices], hx)
    total = (y * y).sum()
    for part in last if layer.states > 1 else [last]:
        total = total + (part * 2).sum()
    total.backward()
    return [
        y.numpy(),
        words.grad.numpy(),
        *(s.grad.numpy() for s in state),
        *(p.grad.numpy() for p in layer.parameters()),
    ]


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_a_projected_vocabulary_gives_what_the_embedded_sequence_does(name):
    for got, want in zip(run(name, 8, np.float64, True), run(name, 8, np.float64, False), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


@needs_numba
@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("hidden", [8, 10, 68])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-12)])
def test_compiled_kernels_compute_what_numpy_does(hidden, dtype, tolerance, table):
    expected = run("LSTM", hidden, dtype, table)
    recurrent.use(recurrent.KernelPlan(compiled=True))
    for got, want in zip(run("LSTM", hidden, dtype, table), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
