"""Kernel plans: what they hold, what they refuse, and that compiled kernels compute what NumPy's do."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from fedlearn import Tensor, grad, nn
from fedlearn.autograd import recurrent
from fedlearn.autograd.recurrent.products import times
from fedlearn.errors import BadInput

needs_numba = pytest.mark.skipif(
    find_spec("numba") is None, reason="numba is not installed: pip install fedlearn[fast]"
)


@pytest.fixture(autouse=True)
def default_plan():
    """Whatever another test left behind, begin with the default, and leave behind what was there."""
    before = recurrent.current()
    recurrent.use(recurrent.KernelPlan())
    yield
    recurrent.use(before)


def test_a_plan_travels_as_plain_data():
    measured = recurrent.measure(32, 256)
    assert recurrent.KernelPlan.from_dict(measured.to_dict()) == measured
    recurrent.use(measured)
    assert recurrent.current() is measured


@pytest.mark.parametrize("given", [{}, {"cut": True}, {"cut": 7, "compiled": False}, {"cut": True, "colour": 1}])
def test_an_unknown_plan_is_refused(given):
    with pytest.raises(BadInput, match="not a kernel plan"):
        recurrent.KernelPlan.from_dict(given)


def test_a_choice_is_made_by_name():
    assert recurrent.choose("numpy", [(32, 8)], 4) == recurrent.KernelPlan()
    assert recurrent.choose("measure", [], 4) == recurrent.KernelPlan()  # nothing to measure
    with pytest.raises(BadInput, match="choose one of numpy, numba, measure"):
        recurrent.choose("fastest", [(32, 8)], 4)


def test_a_compiled_plan_needs_a_numba_that_can_be_imported(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('numba needs another NumPy')")
    program = "from fedlearn.autograd.recurrent import KernelPlan; KernelPlan(compiled=True)"
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": paths}, capture_output=True)
    assert done.returncode == 1
    assert b"BadInput: the kernel plan asks for compiled kernels" in done.stderr


@pytest.mark.parametrize(("batch", "inner", "width"), [(5, 96, 128), (64, 256, 128), (128, 300, 96), (500, 200, 70)])
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_a_product_in_blocks_is_the_product(batch, inner, width, stacked, cut):
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((3, inner, width))
    a = rng.standard_normal((3, batch, inner) if stacked else (batch, inner))
    out = np.empty((3, batch, width))
    times(matrices, batch, cut)(a, out)
    np.testing.assert_allclose(out, a @ matrices, rtol=1e-9, atol=1e-11)


def run(name: str, hidden: int, dtype: type, table: bool, batch: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    layer = getattr(nn, name)(6, hidden, rng=rng).to(dtype)
    shape = (1, batch, hidden)
    state = [Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for _ in range(layer.states)]
    hx = tuple(state) if layer.states > 1 else state[0]
    words = Tensor(rng.standard_normal((4, 6)).astype(dtype), requires_grad=True)
    indices = rng.integers(0, 4, (7, batch))
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


@needs_numba
@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("batch", [3, 60])  # one product of all gates, and one for each
def test_a_compiled_step_gives_the_bits_of_numpys(batch, table):
    expected = run("LSTM", 68, np.float32, table, batch)  # too wide for the whole loop to be compiled
    recurrent.use(recurrent.KernelPlan(compiled=True))
    for got, want in zip(run("LSTM", 68, np.float32, table, batch), expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize(("hidden", "batch"), [(8, 3), (68, 3), (68, 60)])
def test_an_lstm_of_any_size_has_the_gradients_of_its_formula(hidden, batch, table):
    rng = np.random.default_rng(0)
    shapes = [
        (5, 4 * hidden) if table else (7, batch, 4 * hidden),
        (4 * hidden, hidden),
        (batch, hidden),
        (batch, hidden),
    ]
    inputs = [Tensor(rng.standard_normal(shape) / 3, requires_grad=True) for shape in shapes]
    indices = rng.integers(0, 5, (7, batch)) if table else None
    outputs = rng.standard_normal((8, batch, hidden))
    found, formula = (
        grad((lstm(*inputs, indices=indices) * outputs).sum(), inputs)
        for lstm in (recurrent.lstm, recurrent.lstm.composed)
    )
    for got, want in zip(found, formula, strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9, atol=1e-11)


def test_a_plan_of_nonsense_is_refused():
    with pytest.raises(BadInput, match="'no', a bool is needed"):
        recurrent.KernelPlan(cut="no")
    with pytest.raises(BadInput, match="sequences is 0, it must be at least 1"):
        recurrent.measure(0, 4)
