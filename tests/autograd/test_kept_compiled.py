"""Programs with compiled chains give the tape's bits, too: the tests of programs once more, under a compiled plan."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor
from fedlearn.autograd import fused, ops, recurrent
from fedlearn.autograd.kept import KERNELS
from fedlearn.autograd.program import Program, kernels_of_plan
from tests.autograd import test_program as written

pytest.importorskip("numba", reason="numba is not installed: pip install fedlearn[fast]")

test_networks = written.test_networks_of_every_size_have_the_tapes_bits
test_ties = written.test_ties_zeros_and_what_is_not_finite_have_the_tapes_bits


@pytest.fixture(autouse=True, scope="module")
def compiled_plan():
    before = recurrent.current()
    recurrent.use(recurrent.KernelPlan(compiled=True))
    yield
    recurrent.use(before)


def test_the_plan_decides_which_ops_are_compiled():
    compiled = {name for name, kernel in kernels_of_plan().items() if kernel is not KERNELS[name]}
    assert compiled == {"linear", "relu", "tanh", "cross_entropy", "bce_with_logits"}
    recurrent.use(recurrent.KernelPlan())
    try:
        assert kernels_of_plan() is KERNELS
    finally:
        recurrent.use(recurrent.KernelPlan(compiled=True))


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3), (40, 60)])
def test_tanh_and_its_slope_have_the_tapes_bits_at_both_ends(shape):
    rng = np.random.default_rng(0)
    x, y = Tensor(np.zeros(shape, np.float32), requires_grad=True), rng.random(shape, np.float32)

    def loss() -> Tensor:
        return fused.bce_with_logits(ops.tanh(x), y, average=len(shape))

    place = [np.zeros(shape, np.float32)]
    program = Program(loss(), [y], [x], place)
    for scale in (1e-30, 1, 20, 60, np.inf):
        x._data[...] = rng.standard_normal(shape) * scale
        assert written.by_program(program, [y], place) == written.by_tape(loss(), [x])


def test_a_class_that_is_not_there_is_no_neighbours_row():
    logits, target = Tensor(np.ones((2, 3), np.float32), requires_grad=True), np.array([0, 2])
    place = [np.zeros((2, 3), np.float32)]
    program = Program(fused.cross_entropy(logits, target=target, average=True), [target], [logits], place)
    for wrong in ([0, 3], [-1, 0]):
        with pytest.raises(IndexError, match="a class"):
            program.run([np.array(wrong)])


def test_a_bias_that_lies_apart_is_added_by_numpy():
    weight = Tensor(np.ones((3, 4), np.float32), requires_grad=True)
    bias = Tensor(np.zeros(3, np.float32), requires_grad=True)
    bias._data = np.arange(6, dtype=np.float32)[::2]
    x, target = np.ones((2, 4), np.float32), np.array([0, 2])

    def loss() -> Tensor:
        return fused.cross_entropy(ops.linear(x, weight, bias), target=target, average=True)

    places = [np.zeros((3, 4), np.float32), np.zeros(3, np.float32)]
    program = Program(loss(), [x, target], [weight, bias], places)
    assert written.by_program(program, [x, target], places) == written.by_tape(loss(), [weight, bias])
