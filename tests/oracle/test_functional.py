"""Every function of nn.functional beside PyTorch's, in float64: every argument, values and gradients."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

from fedlearn import Tensor
from fedlearn.autograd.node import raw
from fedlearn.nn import functional as F
from tests.oracle.functional_cases import CASES

torch = pytest.importorskip("torch")

NOT_OF_PYTORCH = {"Size", "checked_indices"}
CONSTANT_WEIGHT = {"cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"}
FLOAT32_CONSTANTS = {"hardsigmoid", "celu", "binary_cross_entropy"}  # in PyTorch, of float64 arrays as well
UNCHECKED = {"dropout": {"rng"}, "scaled_dot_product_attention": {"rng"}}


def test_every_function_and_every_argument_has_a_case():
    assert set(CASES) == set(F.__all__) - NOT_OF_PYTORCH
    for name, cases in CASES.items():
        signature = inspect.signature(getattr(F, name))
        given = {argument for args, options in cases for argument in signature.bind(*args, **options).arguments}
        assert given | UNCHECKED.get(name, set()) == set(signature.parameters), name


def without_gradients(name, args, options):
    """PyTorch gives the weights of these losses none."""
    given = inspect.signature(getattr(F, name)).bind(*args, **options).arguments
    for weight in (given.get("weight"), given.get("pos_weight")):
        if name in CONSTANT_WEIGHT and weight is not None:
            weight.requires_grad_(False)


def theirs(name, args, options):
    def convert(value):
        if not isinstance(value, np.ndarray):
            return (
                tuple(convert(v) for v in value)
                if isinstance(value, list)
                else value.item()
                if isinstance(value, np.generic)
                else value
            )
        value = torch.tensor(value.astype(value.dtype.newbyteorder("=")))
        return (
            value.requires_grad_()
            if value.dtype == torch.float64
            else value.long()
            if value.dtype not in (torch.bool,)
            else value
        )

    args = [convert(value) for value in args]
    options = {key: convert(value) for key, value in options.items()}
    without_gradients(name, args, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of a softmax without dim
        result = getattr(torch.nn.functional, name)(*args, **options)
    return result, [value for value in [*args, *options.values()] if torch.is_tensor(value) and value.requires_grad]


def ours(name, args, options):
    def convert(value):
        floating = isinstance(value, np.ndarray) and value.dtype == np.float64
        return Tensor(value, requires_grad=True) if floating else value

    args = [convert(value) for value in args]
    options = {key: convert(value) for key, value in options.items()}
    without_gradients(name, args, options)
    result = getattr(F, name)(*args, **options)
    return result, [value for value in [*args, *options.values()] if isinstance(value, Tensor) and value.requires_grad]


ALL = [(name, args, options) for name, cases in CASES.items() for args, options in cases]


@pytest.mark.parametrize(("name", "args", "options"), ALL, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(ALL)])
@pytest.mark.filterwarnings("error")
def test_values_and_gradients(name, args, options):
    if name == "batch_norm":
        return compare_batch_norm(args, options)
    wanted, their_leaves = theirs(name, args, options)
    got, leaves = ours(name, args, options)
    assert tuple(wanted.shape) == got.shape
    np.testing.assert_allclose(raw(got), wanted.detach().numpy(), rtol=1e-10, atol=1e-12)
    if not wanted.requires_grad:
        return None
    weights = np.random.default_rng(1).standard_normal(got.shape)
    wanted.backward(torch.tensor(weights))
    got.backward(weights)
    for mine, other in zip(leaves, their_leaves, strict=True):
        expected = np.zeros(mine.shape) if other.grad is None else other.grad.numpy()
        found = np.zeros(mine.shape) if mine.grad is None else mine.grad.numpy()
        known = np.isfinite(expected)  # where PyTorch has no gradient to give, ours may
        tolerance = {"rtol": 1e-6 if name in FLOAT32_CONSTANTS else 1e-9, "atol": 1e-11}
        np.testing.assert_allclose(found[known], expected[known], **tolerance)
    return None


def compare_batch_norm(args, options):
    statistics = [None if value is None else value.copy() for value in args[1:3]]
    mine = [None if value is None else value.copy() for value in args[1:3]]
    x, y = Tensor(args[0], requires_grad=True), torch.tensor(args[0], requires_grad=True)
    others = [None if value is None else torch.tensor(value) for value in statistics]
    rest = [value if isinstance(value, bool) else torch.tensor(value) for value in args[3:]]
    their_options = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    got = F.batch_norm(x, *mine, *args[3:], **options)
    wanted = torch.nn.functional.batch_norm(y, *others, *rest, **their_options)
    np.testing.assert_allclose(got.numpy(), wanted.detach().numpy(), rtol=1e-10, atol=1e-12)
    (got * got).sum().backward()
    (wanted * wanted).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-11)
    for a, b in zip(mine, others, strict=True):
        assert a is None or np.allclose(a, b, rtol=1e-12)
