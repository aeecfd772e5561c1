"""How operations are recorded, and how gradients walk back through the record.

An `Op` is a row of the one table: how to compute a result, and beside it, for each input, the
vector-Jacobian product (vjp): what the gradient of the result says about the gradient of that input.
A vjp is written once, with operators. In a first-order pass it runs on plain arrays and records nothing;
under `create_graph` the same lines run on Tensors, so that the gradient is itself a graph and can be
differentiated again, to any order.

Tensors are numbered as they are made. A tensor is therefore always newer than everything it was made
from, and walking from the newest to the oldest meets each tensor after all of its consumers: no recursion,
and a tensor used twice simply has its two gradients added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from fedlearn.autograd import watch
from fedlearn.autograd.arrays import array_of, is_double
from fedlearn.autograd.mode import mode
from fedlearn.autograd.node import FREED, Node, next_id
from fedlearn.autograd.rows import RowSparse
from fedlearn.errors import BadInput, GraphError, ShapeError

OPS: dict[str, Op] = {}  # the one table: a name, and how it is computed and differentiated
PLAIN = {np.ndarray, float, int, bool}


class Op:
    """One differentiable operation, called with Tensors, arrays and Python numbers in any mixture.

    forward(*arrays, **params) computes the result. vjps[i](g, y, *inputs, **params) is the gradient of
    input i, given the gradient g of the result y; None where there is none to give. An op whose inputs go
    through one computation gives `joint` instead, which returns the gradients of all inputs at once.
    With `linear=True` the vjps use the shapes of their arguments but not their values.

    Called with arrays only, an op computes and returns an array; with a Tensor, it returns a Tensor.
    """

    fused = False

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        *vjps: Callable[..., Any] | None,
        joint: Callable[..., Sequence[Any]] | None = None,
        linear: bool = False,
    ):
        self.name = name
        self.forward = forward
        self.vjps = vjps
        self.joint = joint
        self.linear = linear
        OPS[name] = self

    def __call__(self, *inputs: Any, **params: Any) -> Any:
        values: list[Any] = []
        tensors = wanted = odd = False
        for x in inputs:
            if isinstance(x, Node):
                tensors = True
                wanted = wanted or x.requires_grad
                values.append(x._data)
            else:
                odd = odd or type(x) not in PLAIN
                values.append(x)
        if odd and tensors:
            inputs = tuple([x if isinstance(x, Node) else _operand(x) for x in inputs])
            values = [x._data if isinstance(x, Node) else x for x in inputs]
        try:
            result = kept = self.forward(*values, **params)
        except BadInput:
            raise
        except (ValueError, IndexError) as error:
            raise ShapeError(f"{self.name}{_shapes(values)} does not fit: {error}") from error
        if self.fused:
            result, kept = result
        if not tensors:
            return result
        if type(result) is not np.ndarray:
            result = np.asarray(result)
        if result.dtype.char == "d" and not any(is_double(value) for value in values):
            result = result.astype(np.float32)  # whole numbers in the mixture do not widen float32
        out = Node.computed.__new__(Node.computed)
        out._data = result
        out._id = next_id()
        if wanted and mode.recording:
            out.requires_grad = True
            out._made = (self, inputs, values, params, kept)
        return out

    def pull(self, g: Any, y: Node, create_graph: bool, useful: set[int] | None) -> Iterable[tuple[Node, Any]]:
        """The gradients of the inputs that `y` was made from, for those inputs that want one."""
        _, inputs, values, params, kept = y._made
        if create_graph:
            values, kept = inputs, y
        if self.joint is not None:
            for x, gx in zip(inputs, self.joint(g, kept, *values, **params), strict=True):
                if isinstance(x, Node) and x.requires_grad:
                    yield x, gx
            return
        for x, vjp in zip(inputs, self.vjps, strict=False):
            if vjp is not None and isinstance(x, Node) and x.requires_grad and (useful is None or x._id in useful):
                yield x, vjp(g, kept, *values, **params)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


class Fused(Op):
    """An op computed in one go, for speed: its forward returns (result, kept).

    `joint(g, kept, *inputs, **params)` is a fast vjp on arrays. `composed(*inputs, **params)` defines the
    same thing out of simpler ops; under `create_graph` it is replayed and differentiated instead, and the
    tests hold the fast version against it.
    """

    fused = True

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        joint: Callable[..., Sequence[Any]],
        composed: Callable[..., Any],
    ):
        super().__init__(name, forward, joint=joint)
        self.composed = composed

    def pull(self, g: Any, y: Node, create_graph: bool, useful: set[int] | None) -> Iterable[tuple[Node, Any]]:
        if not create_graph:
            return super().pull(g, y, False, useful)
        _, inputs, _, params, _ = y._made
        wanted = [x for x in inputs if isinstance(x, Node) and x.requires_grad]
        return pullback(self.composed(*inputs, **params), g, wanted, create_graph=True, stop=True)


def pullback(
    output: Node,
    g: Any,
    wanted: Sequence[Node] | None = None,
    create_graph: bool = False,
    retain_graph: bool = True,
    stop: bool = False,
) -> list[tuple[Node, Any]]:
    """Gradients of `output`, weighted by `g`: of those `wanted` that it depends on, or of every leaf.

    With `stop` the wanted tensors are taken as independent variables even where one was made from another.
    They come as arrays or `RowSparse`, or as Tensors under `create_graph`.
    """
    targets = None if wanted is None else {x._id for x in wanted}
    order = _newest_first(output, targets if stop and targets else set())
    useful = None if targets is None else _leading_to(targets, order)
    gradients: dict[int, Any] = {output._id: g}
    found: list[tuple[Node, Any]] = []
    before, mode.recording = mode.recording, create_graph
    try:
        for y in order:
            g = gradients.pop(y._id, None)
            if g is None:
                continue
            at_target = y._made is None if targets is None else y._id in targets
            if at_target:
                found.append((y, g))
            if y._made is not None and not (at_target and stop):
                _pull_into(gradients, g, y, create_graph, useful)
    finally:
        mode.recording = before
    if not retain_graph:
        for y in order:
            if y._made is not None:
                y._made = FREED
    return found


def _pull_into(gradients: dict[int, Any], g: Any, y: Node, create_graph: bool, useful: set[int] | None) -> None:
    """One step back: adds what `y`'s gradient says about its inputs to what is already known of theirs."""
    op = y._made[0]
    if watch.latest > y._id and not op.linear:
        watch.refuse_stale(y)
    if isinstance(g, RowSparse):
        g = g.dense()
    for x, gx in op.pull(g, y, create_graph, useful):
        if gx.shape != x._data.shape:
            gx = unbroadcast(gx, x._data.shape)
        if gx.dtype is not x._data.dtype and gx.dtype != x._data.dtype:
            gx = gx.astype(x._data.dtype)
        if x._made is None and not create_graph and (gx is g or getattr(gx, "base", None) is not None):
            gx = gx.copy()  # a leaf's gradient is its own: it shares memory with nothing
        known = gradients.get(x._id)
        gradients[x._id] = gx if known is None else known + gx


def _newest_first(output: Node, boundary: Iterable[int]) -> list[Node]:
    """Every tensor wanting a gradient that `output` was made from, newest first; not beyond `boundary`."""
    seen = {output._id: output}
    boundary = set(boundary)
    stack = [output]
    while stack:
        y = stack.pop()
        if y._made is FREED:
            raise GraphError(
                "the graph of this tensor was freed by an earlier backward pass: "
                "run the forward pass again, or give retain_graph=True to the first"
            )
        if y._made is None or y._id in boundary:
            continue
        for x in y._made[1]:
            if isinstance(x, Node) and x.requires_grad and x._id not in seen:
                seen[x._id] = x
                stack.append(x)
    return sorted(seen.values(), key=attrgetter("_id"), reverse=True)


def _leading_to(targets: set[int], newest_first: list[Node]) -> set[int]:
    """Those tensors through which a gradient reaches a target."""
    useful = set(targets)
    for y in reversed(newest_first):
        if y._made is not None and any(isinstance(x, Node) and x._id in useful for x in y._made[1]):
            useful.add(y._id)
    return useful


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum the gradient of a broadcast array back to the `shape` it was broadcast from."""
    extra = g.ndim - len(shape)
    stretched = (i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1)
    axes = (*range(extra), *stretched)
    if axes:
        g = g.sum(axis=axes)
    return g.reshape(shape)


def _operand(x: Any) -> Any:
    """What stands beside a Tensor: NumPy scalars count as Python numbers, lists as float32 arrays."""
    if type(x) in PLAIN:
        return x
    return x.item() if isinstance(x, np.generic) else array_of(x)


def _shapes(values: Iterable[Any]) -> str:
    return "(" + ", ".join(str(np.shape(value)) for value in values) + ")"
