"""How operations are recorded, and what each says of its inputs' gradients.

An `Op` is a row of the one table: how to compute a result, and beside it, for each input, the
vector-Jacobian product (vjp): what the gradient of the result says about the gradient of that input.
A vjp is written once, with operators. In a first-order pass it runs on plain arrays and records nothing;
under `create_graph` the same lines run on Tensors, so that the gradient is itself a graph and can be
differentiated again, to any order. `walk.py` goes back through the record.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fedlearn.autograd import watch
from fedlearn.autograd.arrays import NUMBERS, as_float, is_half, operand, refuse_other_than_numbers, widens
from fedlearn.autograd.mode import mode, plainly
from fedlearn.autograd.names import numpy_names
from fedlearn.autograd.node import Node, next_id, raw
from fedlearn.autograd.replay import Plans
from fedlearn.autograd.walk import pullback
from fedlearn.errors import BadInput, FedlearnError, ShapeError
from fedlearn.wording import many

OPS: dict[str, Op] = {}  # the one table: a name, and how it is computed and differentiated
new, ndarray = object.__new__, np.ndarray
SCALARS = {float, int, bool}  # what needs no look before it is computed with


class Op:
    """One differentiable operation, called with Tensors, arrays and Python numbers in any mixture.

    forward(*arrays, **params) computes the result. vjps[i](g, y, *inputs, **params) is the gradient of
    input i, given the gradient g of the result y; None where there is none to give. An op whose inputs go
    through one computation gives `joint` instead, which returns the gradients of all inputs at once.

    linear: the vjps use the shapes of their arguments but not their values.
    view: the result may show the memory of the first Tensor among the inputs.
    floats: forward needs floating-point numbers; whole numbers and bools are made float32 first.
    as_is: the result has the precision that forward gives it, not that of the inputs.
    fits: which shapes fit, where NumPy's own words about others are hard to read.

    Called with arrays only, an op computes and returns an array; with a Tensor, it returns a Tensor. Raises
    `ShapeError` for shapes and indices that do not fit, `BadInput` for values that it cannot take.
    """

    fused = False

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        *vjps: Callable[..., Any] | None,
        joint: Callable[..., Sequence[Any]] | None = None,
        linear: bool = False,
        view: bool = False,
        floats: bool = False,
        as_is: bool = False,
        fits: str = "",
    ):
        self.name = name
        self.forward = forward
        self.only = forward.nin if isinstance(forward, np.ufunc) else 0  # inputs and nothing more, as no out or where
        self.vjps = vjps
        self.joint = joint
        self.linear = linear
        self.view = view
        self.floats = floats
        self.as_is = as_is
        self.fits = fits
        self.plans = Plans()  # for backward passes from its results
        OPS[name] = self

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        values: list[Any] = []
        tensors = wanted = odd = False
        for x in inputs:
            if isinstance(x, Node):
                tensors = True
                if x._wanted:
                    wanted = True
                values.append(x._data)
                continue
            values.append(x)
            kind = type(x)
            if kind is ndarray:
                if x.dtype.char not in NUMBERS:
                    odd = True
            elif kind not in SCALARS:
                odd = True
        if odd and tensors:
            inputs = tuple([x if isinstance(x, Node) else operand(x) for x in inputs])
            values = [raw(x) for x in inputs]
        if self.floats:
            for value in values:
                if type(value) is not np.ndarray or value.dtype.char not in "fde":
                    values = [as_float(value) for value in values]
                    break
        quietly = mode.quietly
        try:
            if self.only and (params or len(values) != self.only):
                raise TypeError(self._wrong_count(len(values), params))
            if quietly is plainly:
                result = self.forward(*values, **params)
            else:  # named arguments take a tenth of a small op's time even where there are none
                result = quietly(self.forward, *values, **params) if params else quietly(self.forward, *values)
        except Exception as error:
            named = self._named(params) if isinstance(error, TypeError) else None
            if named is not None:
                return self(*inputs, **named)
            raise self._typed(error, values, params) from error
        result, kept = result if self.fused else (result, result)
        if not tensors:
            return result
        if type(result) is not ndarray:
            result = np.asarray(result)
        if result.dtype.char != "f" and not self.as_is:
            values, result, kept = self._settle(values, params, result, kept)
        out: Node = new(Node.computed)
        out._data = result
        out._id = next_id()
        if self.view and result.base is not None:
            watch.share(out, inputs[0] if isinstance(inputs[0], Node) else next(filter(is_node, inputs)))
        if wanted and mode.recording:
            out._wanted = True
            out._made = (self, inputs, values, params, kept)
        return out

    def directly(self, *inputs: Any, **params: Any) -> Any:
        """The result within a vjp: of arrays, which are checked already, by `forward` alone."""
        return self.forward(*inputs, **params) if type(inputs[0]) is ndarray else self(*inputs, **params)

    def _named(self, params: dict[str, Any]) -> dict[str, Any] | None:
        """The parameters under the names that `forward` has for them, where PyTorch's were given; else None."""
        named = numpy_names(params)
        if self.only or all(named.get(name) is value for name, value in params.items()):
            return None
        return named if named.keys() <= inspect.signature(self.forward).parameters.keys() else None

    def _wrong_count(self, given: int, params: dict[str, Any]) -> str:
        takes = f"it takes {many(self.only, 'argument')}"
        return f"{takes} and none by name, as {next(iter(params))}" if params else f"{takes}, {given} were given"

    def _typed(self, error: Exception, values: Sequence[Any], params: dict[str, Any]) -> Exception:
        """NumPy's refusals as errors of ours; any other as it is."""
        wrong = next((name for name, value in params.items() if isinstance(value, Node)), None)
        if wrong is not None and not isinstance(error, FedlearnError):
            return BadInput(f"{self.name} takes {wrong} as it is, not as a Tensor: give its numpy() or item()")
        if isinstance(error, ValueError | IndexError) and not isinstance(error, BadInput):
            return ShapeError(f"{self.name}{_shapes(values)} does not fit: {self.fits or error}")
        if isinstance(error, TypeError | OverflowError | AttributeError):
            said = str(error).replace(f"{getattr(self.forward, '__qualname__', self.name)}()", f"{self.name}()")
            return BadInput(f"{self.name}{_shapes(values)} cannot be computed: {said}")
        return error

    def _settle(self, values: list[Any], params: dict[str, Any], result: Any, kept: Any) -> tuple[list[Any], Any, Any]:
        """A result in the precision that PyTorch gives it, if that is not float32 as it came."""
        char = result.dtype.char
        if char == "d" and not widens(values):
            result = result.astype(np.float32)
        elif char == "e":  # computed in float32, rounded once, and only where an input was no wider
            half = any(is_half(value) for value in values)
            values = [as_float(value, half=False) for value in values]
            result = kept = mode.quietly(self.forward, *values, **params)
            if self.fused:
                result, kept = result
            result = mode.quietly(np.asarray(result).astype, np.float16 if half else np.float32)
        elif char in "bLQ" and not any(isinstance(v, np.ndarray) and v.dtype.char == char for v in values):
            result = result.astype(np.int64)  # sums of small unsigned numbers, squares of bools
        refuse_other_than_numbers(result)
        return values, result, kept

    def pull(self, g: Any, y: Node, create_graph: bool, useful: set[int] | None) -> Iterable[tuple[Node, Any]]:
        """The gradients of the inputs that `y` was made from, for those inputs that want one."""
        _, inputs, values, params, kept = y._made
        joint = self.joint_of(g, y, create_graph)
        if joint is not None:
            for x, gx in zip(inputs, joint, strict=True):
                if gx is not None and isinstance(x, Node) and x._wanted:
                    yield x, gx
            return
        if create_graph:
            values, kept = inputs, y
        for x, vjp in zip(inputs, self.vjps, strict=False):
            if vjp is not None and isinstance(x, Node) and x._wanted and (useful is None or x._id in useful):
                yield x, vjp(g, kept, *values, **params)

    def joint_of(self, g: Any, y: Node, create_graph: bool) -> Sequence[Any] | None:
        """The gradients of all inputs of `y`, where they are found at once; None where each has its vjp."""
        if self.joint is None:
            return None
        _, inputs, values, params, kept = y._made
        return self.joint(g, y, *inputs, **params) if create_graph else self.joint(g, kept, *values, **params)

    def __repr__(self) -> str:
        return self.name


class Fused(Op):
    """An op computed in one go, for speed: its forward returns (result, kept).

    `joint(g, kept, *inputs, **params)`, or each of `vjps`, is a fast vjp on arrays. `composed(*inputs, **params)`
    defines the same thing out of simpler ops, which the tests hold the fast version against; under `create_graph` it is
    replayed and differentiated, unless there is a `slope(g, kept, *inputs, **params)`: the inputs' gradients by ops.
    """

    fused = True

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        joint: Callable[..., Sequence[Any]] | None,
        composed: Callable[..., Any],
        *vjps: Callable[..., Any] | None,
        slope: Callable[..., Sequence[Any]] | None = None,
        floats: bool = True,
        as_is: bool = False,
    ):
        super().__init__(name, forward, *vjps, joint=joint, floats=floats, as_is=as_is)
        self.composed = composed
        self.slope = slope

    def joint_of(self, g: Any, y: Node, create_graph: bool) -> Sequence[Any] | None:
        if not create_graph:
            return super().joint_of(g, y, False)
        _, inputs, _, params, kept = y._made
        if self.slope is not None:
            return self.slope(g, kept, *inputs, **params)
        wanted = [x for x in inputs if isinstance(x, Node) and x._wanted]
        found = pullback(self.composed(*inputs, **params), g, wanted, create_graph=True, stop=True)
        gradients = {x._id: gx for x, gx in found}  # an input given twice has all of its gradient in one place
        return [gradients.pop(x._id, None) if isinstance(x, Node) else None for x in inputs]


def is_node(x: Any) -> bool:
    return isinstance(x, Node)


def _shapes(values: Iterable[Any]) -> str:
    """What an op was given: the shapes of arrays and numbers, the kinds of other things."""
    known = (np.ndarray, np.generic, float, int)
    return "(" + ", ".join(str(np.shape(x)) if isinstance(x, known) else type(x).__name__ for x in values) + ")"
