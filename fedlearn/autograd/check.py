"""Derivatives held against finite differences: what the tests of every op and layer stand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fedlearn.autograd.derivatives import one_tensor
from fedlearn.autograd.tensor import Tensor, grad
from fedlearn.checked import generator
from fedlearn.errors import BadInput


def gradcheck(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    rng: np.random.Generator | None = None,
    step: float = 1e-5,
    tolerance: float = 1e-6,
    directions: int | None = None,
) -> bool:
    """True if the gradient of function(*inputs) agrees with central differences, else `AssertionError`.

    Inputs are Tensors of float64; those that want a gradient are moved. The result is weighted at random (so all of
    its elements are checked together), and each input is moved one element at a time, or, for speed, along as many
    random `directions` as given. The error is relative to the size of the gradient, or to 1 if that is smaller.
    """
    rng = generator(np.random.default_rng(0) if rng is None else rng)
    moved = _moved(inputs)
    output = one_tensor(function(*inputs))
    weights = rng.standard_normal(output.shape)
    gradients = grad(output, moved, weights, allow_unused=True)
    for i, (x, g) in enumerate(zip(moved, gradients, strict=True)):
        for direction in _directions(x, rng, directions):
            measured = _slope(function, inputs, x, direction * step, weights) / step
            claimed = float((g.numpy() * direction).sum())
            scale = max(1.0, abs(measured), float(np.abs(g.numpy()).max()))
            if not abs(measured - claimed) <= tolerance * scale:
                raise AssertionError(f"input {i}: the gradient says {claimed:.12g}, differences say {measured:.12g}")
    return True


def gradgradcheck(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    rng: np.random.Generator | None = None,
    step: float = 1e-5,
    tolerance: float = 1e-6,
    directions: int | None = None,
) -> bool:
    """`gradcheck` of the gradient of `function`, as a function of its inputs and of the gradient passed in."""
    rng = generator(np.random.default_rng(0) if rng is None else rng)
    moved = _moved(inputs)
    output = one_tensor(function(*inputs))
    weights = Tensor(rng.standard_normal(output.shape), requires_grad=True)

    def gradient(*arguments: Tensor) -> Tensor:
        *point, g = arguments
        wanted = [x for x, old in zip(point, inputs, strict=True) if old.requires_grad]
        found = grad(function(*point), wanted, g, create_graph=True, allow_unused=True)
        total: Tensor = (found[0] * mixing[0]).sum()
        for part, mix in zip(found[1:], mixing[1:], strict=True):
            total = total + (part * mix).sum()
        return total

    mixing = [rng.standard_normal(x.shape) for x in moved]
    return gradcheck(gradient, [*inputs, weights], rng, step, tolerance, directions)


def _moved(inputs: Sequence[Tensor]) -> list[Tensor]:
    if isinstance(inputs, Tensor) or not all(isinstance(x, Tensor) for x in inputs):
        raise BadInput(f"gradcheck takes a list of Tensors, not {type(inputs).__name__}: write gradcheck(f, [x, y])")
    moved = [x for x in inputs if x.requires_grad]
    if not moved or any(x.dtype != np.float64 for x in moved):
        raise BadInput("gradcheck needs float64 inputs with requires_grad=True: float32 is too coarse for differences")
    return moved


def _directions(x: Tensor, rng: np.random.Generator, count: int | None) -> list[np.ndarray]:
    if count is not None:
        return [rng.standard_normal(x.shape) / max(1.0, x.size) ** 0.5 for _ in range(count)]
    return list(np.eye(x.size).reshape(x.size, *x.shape))


def _slope(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], x: Tensor, move: np.ndarray, weights: np.ndarray
) -> float:
    """Half the difference of the weighted result with `x` moved forward and back."""
    ends = []
    for sign in (1, -1):
        moved = Tensor(x.numpy() + sign * move, requires_grad=True)
        output = function(*(moved if other is x else other for other in inputs))
        ends.append(float((output.numpy() * weights).sum()))
    return (ends[0] - ends[1]) / 2
