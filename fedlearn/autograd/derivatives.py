"""Derivatives of functions: gradients with values, Jacobian and Hessian matrices, and their products with a vector.

Names and results follow torch.autograd.functional. A function takes Tensors and returns one; inputs are arrays or
Tensors, one or a tuple of them, floating point. Results are Tensors; under `create_graph` they can be differentiated
again, with respect to inputs that want a gradient themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fedlearn.autograd.mode import enable_grad
from fedlearn.autograd.node import raw
from fedlearn.autograd.ops import clone, reshape, stack
from fedlearn.autograd.tensor import Tensor, grad
from fedlearn.checked import flag
from fedlearn.errors import BadInput, ShapeError

Function = Callable[..., Tensor]


def value_and_grad(function: Function, argnum: int = 0) -> Callable[..., tuple[Tensor, Tensor]]:
    """A function that returns what `function`, of one number, does, and its gradient with respect to one argument."""

    def both(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not isinstance(argnum, int) or not 0 <= argnum < len(args):
            raise BadInput(
                f"value_and_grad by argument {argnum!r:.60} of {len(args)}: give its place, counted from 0; of several "
                "arguments there is vjp"
            )
        with enable_grad():
            x = _variable(args[argnum], False)
            value = one_tensor(function(*args[:argnum], x, *args[argnum + 1 :], **kwargs))
            (gradient,) = _gradients(value, [x], None, False)
        return value.detach(), gradient

    return both


def vjp(function: Function, inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Tensor, Any]:
    """The result, and the product of `v` (of the result's shape; 1 for one number) with the Jacobian of each input."""
    with enable_grad():
        variables = _variables(inputs, create_graph)
        output = one_tensor(function(*variables))
        products = _gradients(output, variables, v, create_graph)
    return _done(output, create_graph), _like(inputs, products)


def jvp(function: Function, inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """The result, and the product of its Jacobian with `v`, of the inputs' shapes (1 for one input of one number).

    Found by two passes back: the product with a Jacobian from the left is linear in what it is multiplied with.
    """
    with enable_grad():
        variables = _variables(inputs, create_graph)
        if v is None and [x.size for x in variables] == [1]:
            v = np.ones_like(variables[0]._data)
        directions = _directions(v, inputs, variables, "jvp")
        output = one_tensor(function(*variables))
        weights = Tensor(np.zeros_like(output._data), requires_grad=True)
        slopes = _gradients(output, variables, weights, True)
        product = _gradients(_along(slopes, directions), [weights], None, create_graph)[0]
    return _done(output, create_graph), product


def jacobian(function: Function, inputs: Any, create_graph: bool = False) -> Any:
    """d result / d input for each input, of the result's shape followed by the input's: one pass back a number."""
    with enable_grad():
        variables = _variables(inputs, create_graph)
        output = one_tensor(function(*variables))
        rows = []
        for place in np.ndindex(output.shape):
            one = np.zeros(output.shape, output.dtype)
            one[place] = 1
            rows.append(_gradients(output, variables, one, create_graph, retain=True))
        whole = []
        for i, x in enumerate(variables):
            shape = (*output.shape, *x.shape)
            empty = Tensor(np.zeros(shape, x.dtype))
            whole.append(reshape(stack([row[i] for row in rows]), shape=shape) if rows else empty)
    return _like(inputs, whole)


def hessian(function: Function, inputs: Any, create_graph: bool = False) -> Any:
    """Second derivatives of a function of one number: for each pair of inputs, the shape of one and that of the other.

    Of a tuple of inputs a tuple of tuples.
    """
    several = _are_several(inputs)

    def gradient_of(i: int) -> Function:
        return lambda *variables: _number_gradients(function, variables)[i]

    rows = [jacobian(gradient_of(i), inputs, create_graph) for i in range(len(inputs) if several else 1)]
    return tuple(rows) if several else rows[0]


def hvp(function: Function, inputs: Any, v: Any, create_graph: bool = False) -> tuple[Tensor, Any]:
    """The value of a function of one number, and the product of its Hessian with `v`, of the inputs' shapes."""
    with enable_grad():
        variables = _variables(inputs, create_graph)
        directions = _directions(v, inputs, variables, "hvp")
        value = one_tensor(function(*variables))
        slopes = _gradients(_one(value), variables, None, True)
        products = _gradients(_along(slopes, directions), variables, None, create_graph)
    return _done(value, create_graph), _like(inputs, products)


def _directions(v: Any, inputs: Any, variables: list[Tensor], name: str) -> list[Any]:
    """One direction for each input, of its shape."""
    several = _are_several(inputs)
    directions = list(v) if several and isinstance(v, tuple | list) else [v]
    if any(d is None for d in directions) or [np.shape(raw(d)) for d in directions] != [x.shape for x in variables]:
        raise ShapeError(f"{name} needs a direction of the shape of each input: {[x.shape for x in variables]}")
    return directions


def _along(slopes: tuple[Tensor, ...], directions: list[Any]) -> Tensor:
    """The sum of all products of a slope and its direction."""
    along = [(g * d).sum() for g, d in zip(slopes, directions, strict=True)]
    total: Tensor = sum(along[1:], along[0])
    return total


def _number_gradients(function: Function, variables: Any) -> tuple[Tensor, ...]:
    return _gradients(_one(one_tensor(function(*variables))), list(variables), None, True)


def _one(value: Tensor) -> Tensor:
    if value.size != 1:
        raise ShapeError(f"a function of one number is needed, its result has the shape {value.shape}: sum it first")
    return value


def _gradients(
    output: Tensor, variables: list[Tensor], v: Any, create_graph: bool, retain: bool = False
) -> tuple[Tensor, ...]:
    """Gradients of all variables, zeros where the output does not depend on one."""
    if not output.requires_grad:
        return tuple(Tensor(np.zeros_like(x._data)) for x in variables)
    return grad(output, variables, v, create_graph=create_graph, retain_graph=create_graph or retain, allow_unused=True)


def _are_several(inputs: Any) -> bool:
    """True for a tuple of inputs, or a list that holds arrays. A list of numbers is one input, as for `Tensor`."""
    return isinstance(inputs, tuple) or _holds_arrays(inputs)


def _holds_arrays(x: Any) -> bool:
    return isinstance(x, tuple | list) and any(isinstance(part, Tensor | np.ndarray) for part in x)


def _variables(inputs: Any, create_graph: bool) -> list[Tensor]:
    create_graph = flag("create_graph", create_graph)
    return [_variable(x, create_graph) for x in (inputs if _are_several(inputs) else [inputs])]


def _variable(x: Any, create_graph: bool) -> Tensor:
    """A tensor of its own to differentiate by; under `create_graph` still connected to the one given."""
    if create_graph and isinstance(x, Tensor) and x.requires_grad:
        return clone(x)  # type: ignore[no-any-return]
    if isinstance(x, dict | set) or _holds_arrays(x):
        raise BadInput(
            f"a {type(x).__name__} of arrays is no input to differentiate by: give the function each array as an "
            "argument of its own, and a tuple of them here"
        )
    return Tensor(raw(x), requires_grad=True)


def one_tensor(output: Any) -> Tensor:
    """What a function returned, if it is a Tensor."""
    if isinstance(output, tuple | list | dict):
        raise BadInput(
            f"the function returned a {type(output).__name__}: let it return one Tensor, or ask for each part"
        )
    if not isinstance(output, Tensor):
        raise BadInput(f"the function returned {type(output).__name__}, not a Tensor: compute it with ops that record")
    return output


def _done(output: Tensor, create_graph: bool) -> Tensor:
    return output if create_graph else output.detach()


def _like(inputs: Any, results: Any) -> Any:
    return tuple(results) if _are_several(inputs) else results[0]
