"""Every op beside PyTorch's: values, first and second derivatives, in double and in single precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from fedlearn import Tensor, grad
from tests.autograd.cases import Case, seeds, shapes

torch = pytest.importorskip("torch")

from tests.autograd.torch_cases import pairs  # noqa: E402


def _ours(run, arrays, rng):
    xs = [Tensor(x, requires_grad=True) for x in arrays]
    y = run(*xs)
    first = grad(y, xs, _weights(rng, y), create_graph=True, allow_unused=True)
    total = sum(((g * _weights(rng, g)).sum() for g in first), Tensor(0.0) * xs[0].sum())
    second = grad(total, xs, allow_unused=True)
    return [t.numpy() for t in (y, *first, *second)]


def _theirs(run, arrays, rng):
    xs = [torch.tensor(x, requires_grad=True) for x in arrays]
    y = run(*xs)
    options = {"allow_unused": True, "materialize_grads": True}
    first = torch.autograd.grad(y, xs, torch.tensor(_weights(rng, y)), create_graph=True, **options)
    total = sum((g * torch.tensor(_weights(rng, g))).sum() for g in first) + 0 * xs[0].sum()
    second = torch.autograd.grad(total, xs, **options)
    return [t.detach().numpy() for t in (y, *first, *second)]


def _weights(rng, y):
    return rng.standard_normal(tuple(y.shape)).astype(str(y.dtype).removeprefix("torch."))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize(
    ("case", "theirs"), pairs(), ids=lambda value: value.name if isinstance(value, Case) else "torch"
)
@settings(max_examples=4)
@given(shape=shapes, seed=seeds)
def test_values_and_derivatives(case: Case, theirs, dtype, tolerance, shape, seed):
    arrays = [x.astype(dtype) for x in case.draw(np.random.default_rng(seed), shape)]
    ours = _ours(case.run, arrays, np.random.default_rng(seed))
    for got, want in zip(ours, _theirs(theirs, arrays, np.random.default_rng(seed)), strict=True):
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)
