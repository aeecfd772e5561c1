"""Every op's first and second derivatives, against finite differences, over shapes that hypothesis draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn import Tensor, grad
from fedlearn.autograd import gradcheck, gradgradcheck, ops
from fedlearn.autograd.face import FUNCTIONS
from fedlearn.autograd.graph import OPS, Fused
from fedlearn.errors import BadInput, ShapeError
from tests.autograd.cases import CASES, Case, seeds, shapes
from tests.autograd.composed import COMPOSED, PLACES
from tests.autograd.draws import normal


def test_every_op_and_every_function_has_a_case():
    assert {case.name for case in CASES} == set(OPS)
    assert {case.name for case in COMPOSED} | PLACES == set(FUNCTIONS)


@pytest.mark.parametrize("case", [*CASES, *COMPOSED], ids=str)
@settings(max_examples=6)
@given(shape=shapes, seed=seeds)
def test_first_and_second_derivatives_agree_with_differences(case: Case, shape: tuple[int, ...], seed: int):
    rng = np.random.default_rng(seed)
    inputs = [Tensor(x, requires_grad=True) for x in case.draw(rng, shape)]
    assert gradcheck(case.run, inputs, rng, directions=3)
    assert gradgradcheck(case.run, inputs, rng, directions=2)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_single_element_is_differentiated(case: Case):
    rng = np.random.default_rng(5)
    inputs = [Tensor(x, requires_grad=True) for x in case.draw(rng, (2, 3))]
    assert gradcheck(case.run, inputs, rng)


@pytest.mark.parametrize("case", CASES, ids=str)
@settings(max_examples=5)
@given(shape=shapes, seed=seeds)
def test_a_gradient_is_the_same_with_and_without_a_graph_of_its_own(case: Case, shape: tuple[int, ...], seed: int):
    rng = np.random.default_rng(seed)
    inputs = [Tensor(x, requires_grad=True) for x in case.draw(rng, shape)]
    weights = rng.standard_normal(case.run(*inputs).shape)
    plain = grad(case.run(*inputs), inputs, weights, allow_unused=True)
    graphed = grad(case.run(*inputs), inputs, weights, create_graph=True, allow_unused=True)
    for x, a, b in zip(inputs, plain, graphed, strict=True):
        assert a.shape == x.shape
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in CASES if isinstance(OPS[case.name], Fused)], ids=str)
@settings(max_examples=6)
@given(shape=shapes, seed=seeds)
def test_a_fused_op_computes_what_its_composition_does(case: Case, shape: tuple[int, ...], seed: int):
    op = OPS[case.name]
    inputs = [Tensor(x, requires_grad=True) for x in case.draw(np.random.default_rng(seed), shape)]
    made = _made_by(case.run(*inputs), op)
    np.testing.assert_allclose(made._data, op.composed(*made._made[1], **made._made[3]).numpy(), rtol=1e-12, atol=1e-14)


def _made_by(result: Tensor, op: Fused) -> Tensor:
    while result._made[0] is not op:
        result = result._made[1][0]
    return result


@pytest.mark.parametrize("case", CASES, ids=str)
@settings(max_examples=5)
@given(shape=shapes, seed=seeds)
def test_float32_stays_float32(case: Case, shape: tuple[int, ...], seed: int):
    drawn = case.draw(np.random.default_rng(seed), shape)
    if case.name == "astype":
        return
    inputs = [Tensor(x.astype(np.float32), requires_grad=True) for x in drawn]
    result = case.run(*inputs)
    assert result.dtype == np.float32
    result.sum().backward()
    assert {x.grad.dtype for x in inputs if x.grad is not None} == {np.dtype(np.float32)}


@given(left=st.sampled_from([2, 2.5, np.float64(1.5), np.float32(3), np.arange(1, 4), [1.0, 2.0, 3.0]]))
def test_numbers_arrays_and_lists_mix_on_either_side(left):
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    expected = np.asarray(left, np.float32)
    for got, want in [
        (left + x, expected + x.numpy()),
        (left - x, expected - x.numpy()),
        (x * left, expected * x.numpy()),
        (left / x, expected / x.numpy()),
        (left**x, expected ** x.numpy()),
        (x - left, x.numpy() - expected),
    ]:
        assert isinstance(got, Tensor)
        assert got.dtype == np.float32
        assert got.requires_grad
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_an_array_times_a_tensor_is_one_tensor():
    assert isinstance(np.ones((3, 2)) @ Tensor(np.ones((2, 4))), Tensor)


@settings(max_examples=10)
@given(seed=seeds)
def test_einsum_agrees_with_numpy(seed):
    rng = np.random.default_rng(seed)
    a, b, c = normal(rng, (2, 3, 4)), normal(rng, (2, 4)), normal(rng, (3, 2, 4))
    for spec, operands in [
        ("bij,bj->bi", (a, b)),
        ("bij,bj", (a, b)),
        ("ijk->kji", (a,)),
        ("bij,ibj->", (a, c)),
        ("bij,bj,ibj->j", (a, b, c)),
        ("...j,bj->...b", (a, b)),
        ("ij->", (b,)),
    ]:
        tensors = [Tensor(x, requires_grad=True) for x in operands]
        np.testing.assert_allclose(ops.einsum(spec, *tensors).numpy(), np.einsum(spec, *operands), rtol=1e-10)
        assert gradcheck(lambda *xs, spec=spec: ops.einsum(spec, *xs), tensors, rng)
        assert gradgradcheck(lambda *xs, spec=spec: ops.einsum(spec, *xs), tensors, rng, directions=2)


@given(shape=shapes, seed=seeds)
def test_split_and_concatenate_are_inverse(shape, seed):
    x = Tensor(normal(np.random.default_rng(seed), shape))
    for axis in range(x.ndim):
        for size in (1, 2, 3):
            np.testing.assert_array_equal(ops.concatenate(ops.split(x, size, axis), axis).numpy(), x.numpy())


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        (lambda a, b: a + b, ["(2, 3)", "(4,)"]),
        (lambda a, b: a @ b, ["(2, 3)", "(4,)"]),
        (lambda a, b: ops.concatenate([a, b], axis=0), ["(2, 3)", "(4,)"]),
        (lambda a, b: ops.stack([a[0], b]), ["(3,)", "(4,)"]),
        (lambda a, b: ops.einsum("ij,j", a, b), ["'j' stands for 3 and for 4"]),
        (lambda a, b: a.reshape(5), ["(2, 3)"]),
        (lambda a, b: a[2], ["(2, 3)"]),
        (lambda a, b: a[np.array([0, 7])], ["(2, 3)"]),
        (lambda a, b: ops.split(a, [1, 3], axis=1), ["(2, 3)"]),
    ],
)
def test_what_does_not_fit_is_refused_with_its_shapes(call, shapes):
    with pytest.raises(ShapeError) as error:
        call(Tensor(np.ones((2, 3))), Tensor(np.ones(4)))
    assert all(shape in str(error.value) for shape in shapes)


@pytest.mark.parametrize("spec", ["ij->ii", "ij,jk", "...i,...j->...ij"])
def test_einsum_refuses_what_it_cannot_differentiate(spec):
    operands = [Tensor(np.ones((2, 2)))] if "," not in spec else [Tensor(np.ones((2, 2))), Tensor(np.ones(3))]
    with pytest.raises(BadInput):
        ops.einsum(spec, *operands[: 1 if spec == "ij,jk" else None])


def test_extreme_values_do_not_overflow():
    big = Tensor(np.array([[1e4, -1e4, 0.0]], np.float32), requires_grad=True)
    with np.errstate(over="raise", invalid="raise"):
        for result in (
            ops.softmax(big),
            ops.log_softmax(big),
            ops.logsumexp(big),
            ops.sigmoid(big),
            ops.softplus(big),
        ):
            assert np.isfinite(grad(result.sum(), big, create_graph=True)[0].numpy()).all()
