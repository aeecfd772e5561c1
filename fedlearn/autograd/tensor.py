"""`Tensor`: an array that remembers how it was made, and so can say how its result depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fedlearn.autograd import watch
from fedlearn.autograd.arrays import array_of, refuse_other_than_numbers
from fedlearn.autograd.inplace import wants_gradient, write
from fedlearn.autograd.mode import mode, no_grad
from fedlearn.autograd.node import Node, next_id, raw
from fedlearn.autograd.numpy_face import call_function, call_ufunc, recorded
from fedlearn.autograd.operators import plain_index
from fedlearn.autograd.ops import clone
from fedlearn.autograd.rows import RowSparse
from fedlearn.autograd.torch_names import TorchNames
from fedlearn.autograd.walk import pullback
from fedlearn.checked import as_array, flag
from fedlearn.errors import BadInput, GraphError, ShapeError


class Tensor(TorchNames):
    """A NumPy array with a gradient.

    Tensor(array) copies what it is given: Python numbers and lists become float32, arrays keep their
    dtype. With `requires_grad` (floating point only, else `BadInput`) everything computed from it is
    recorded, and `result.backward()` leaves the gradient of the result in `.grad`. A computed tensor that
    wants a gradient is not copied (`GraphError`), since a copy has no history.
    """

    __array_priority__ = 1000.0

    _grad: Tensor | RowSparse | None = None

    def __init__(self, data: Any, requires_grad: bool = False):
        if isinstance(data, Tensor) and data._wanted and data._made is not None and mode.recording:
            raise GraphError(
                "a computed tensor that wants a gradient would be copied without its history: use it as it is, or "
                "give its detach()"
            )
        self._data = array_of(data)
        self._id = next_id()
        if requires_grad is not False:
            self.requires_grad_(requires_grad)

    @property
    def requires_grad(self) -> bool:
        """True where what is computed from it is recorded, so that a gradient can be found."""
        return self._wanted

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient, or no longer; only of a leaf, and only of floating-point numbers."""
        if not isinstance(requires_grad, bool | np.bool_ | int) or requires_grad not in (0, 1):
            raise BadInput(f"requires_grad is {requires_grad!r:.60}: give True or False")
        if requires_grad and self.dtype.kind != "f":
            raise BadInput(f"a tensor of {self.dtype} can have no gradient: make it floating point, as float32")
        if self._made is not None and not requires_grad:
            raise GraphError("a computed tensor cannot drop its gradient: detach() gives one without")
        self._wanted = bool(requires_grad)
        return self

    # What it holds

    @property
    def data(self) -> np.ndarray:
        """The array itself, to read or to write; a backward pass that needed what it held will refuse."""
        watch.look(self, next_id())
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        if value is self._data:  # tensor.data += ... has changed it already
            watch.announce([self], next_id())
            return
        if mode.recording and wants_gradient(value):
            raise GraphError("a value that wants a gradient is put into .data, which records nothing: detach() it")
        with no_grad():
            self[...] = value

    def numpy(self) -> np.ndarray:
        """The array, shared and read-only."""
        view = self._data.view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad and mode.recording:
            raise GraphError("a tensor that wants a gradient becomes a plain array: say so by .numpy() or .detach()")
        return np.array(self._data, dtype=dtype) if copy else np.asarray(self.numpy(), dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, way: str, *inputs: Any, **kwargs: Any) -> Any:
        return call_ufunc(ufunc, way, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return call_function(RECORDED, function, args, kwargs)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def is_leaf(self) -> bool:
        """True unless it was computed from tensors that want a gradient."""
        return self._made is None

    def item(self) -> Any:
        """The one number it holds, as Python's."""
        if self._data.size != 1:
            raise ShapeError(f"item() gives one number, this tensor is {self.shape}: index or sum it first")
        return self._data.item()

    def tolist(self) -> Any:
        """Its numbers as nested lists of Python's."""
        return self._data.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"a {self.dtype} tensor is no index: make it of whole numbers")
        return int(self.item())

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ShapeError(f"a tensor of shape {self.shape} is neither true nor false: ask any() or all() of it")
        return bool(self.item())

    def __format__(self, how: str) -> str:
        return format(self.item(), how) if how else str(self)

    def detach(self) -> Tensor:
        """The same numbers, in shared memory, without their history."""
        alike = wrap(self._data)
        alike._memory = watch.memory_of(self)
        return alike

    def __setitem__(self, index: Any, value: Any) -> None:
        write(self, plain_index(index), value)

    def __repr__(self) -> str:
        numbers = np.array2string(self._data, precision=4, separator=", ", prefix="Tensor(")
        return f"Tensor({numbers}{', requires_grad=True' if self.requires_grad else ''})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._made is not None:
            raise GraphError("a computed tensor cannot be copied with its history: detach() it first")
        copy = type(self).__new__(type(self))
        memo[id(self)] = copy
        copy._data, copy._id, copy._wanted = self._data.copy(), next_id(), self._wanted
        return copy

    def __reduce__(self) -> Any:
        if self._made is not None:
            raise GraphError("a computed tensor cannot be pickled with its history: detach() it first")
        return type(self), (self._data, self.requires_grad)

    # Gradients

    @property
    def grad(self) -> Tensor | None:
        """d result / d self after `result.backward()`, summed over backward passes; None before any."""
        if isinstance(self._grad, RowSparse):
            self._grad = wrap(self._grad.dense())
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is None:
            self._grad = None
            return
        gradient = value if isinstance(value, Tensor) else Tensor(value)
        if gradient.shape != self.shape:
            raise ShapeError(f"a gradient of shape {gradient.shape} does not fit a tensor of {self.shape}")
        if gradient.dtype.kind != "f":
            raise BadInput(f"a gradient is floating point, not {gradient.dtype}: give it as {self.dtype}")
        self._grad = gradient if gradient.dtype == self.dtype else gradient.astype(self.dtype)

    def backward(self, gradient: Any = None, *, create_graph: bool = False, retain_graph: bool | None = None) -> None:
        """Add d self / d leaf to the `.grad` of every leaf, weighted by `gradient` (of self's shape; 1 for one number).

        Frees the graph, unless `retain_graph` (default: as `create_graph`). Under `create_graph` the gradients
        have a graph of their own. Raises `GraphError` for a freed graph, for several numbers without
        `gradient`, and where numbers that the pass needs were changed in place.
        """
        create_graph, retain = _modes(create_graph, retain_graph)
        seed = _seed(self, gradient, create_graph)
        for leaf, g in pullback(self, seed, None, create_graph, retain):
            leaf._grad = _as_gradient(g) if leaf._grad is None else _sum(leaf._grad, g)


Node.computed = Tensor
RECORDED = recorded(Tensor)


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    grad_output: Any = None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> tuple[Tensor, ...]:
    """d output / d input for each of `inputs`, weighted by `grad_output` (of output's shape; 1 for one number).

    No tensor's `.grad` is touched. Under `create_graph` the results can be differentiated again. An input that
    the output does not depend on raises `GraphError`, or with `allow_unused` has zeros for its gradient.
    """
    create_graph, retain = _modes(create_graph, retain_graph)
    allow_unused = flag("allow_unused", allow_unused)
    if not isinstance(output, Tensor):
        raise BadInput(f"grad takes a result, not a {type(output).__name__}: value_and_grad(f) is of a function")
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs) if isinstance(inputs, Iterable) else []
    if not isinstance(inputs, Iterable) or not all(isinstance(x, Tensor) for x in wanted):
        raise BadInput(
            f"grad differentiates by Tensors that the output was computed from, not by {type(inputs).__name__}: "
            "give one Tensor, or a list of them"
        )
    for x in wanted:
        if not x.requires_grad:
            raise GraphError(f"an input of shape {x.shape} wants no gradient: make it with requires_grad=True")
    seed = _seed(output, grad_output, create_graph)
    found = {x._id: g for x, g in pullback(output, seed, wanted, create_graph, retain)}
    for x in wanted:
        if x._id not in found:
            if not allow_unused:
                raise GraphError(
                    f"the output does not depend on an input of shape {x.shape}: allow_unused=True gives 0"
                )
            found[x._id] = np.zeros_like(x._data)
    return tuple([_dense(found[x._id]) for x in wanted])


def wrap(array: np.ndarray) -> Tensor:
    """A leaf on `array` itself, not on a copy."""
    tensor = object.__new__(Tensor)
    tensor._data = array if type(array) is np.ndarray else np.asarray(array)
    tensor._id = next_id()
    return tensor


def _modes(create_graph: Any, retain_graph: Any) -> tuple[bool, bool]:
    """Both as bools; where `retain_graph` is None it is as `create_graph`."""
    create = flag("create_graph", create_graph)
    return create, create if retain_graph is None else flag("retain_graph", retain_graph)


def _seed(output: Tensor, gradient: Any, create_graph: bool) -> Any:
    """The gradient that the backward pass starts from: `gradient`, checked, or the 1 of a single number."""
    if not output.requires_grad:
        raise GraphError("nothing to differentiate: no tensor that this was computed from has requires_grad=True")
    if gradient is None:
        if output._data.size != 1:
            raise GraphError(f"a result of shape {output.shape} has many gradients: give one of its shape, or sum it")
        gradient = np.empty(output.shape, output.dtype)
        gradient.fill(1)
        return wrap(gradient) if create_graph else gradient
    given = as_array("a gradient's numbers", raw(gradient))
    refuse_other_than_numbers(given)
    if given.shape != output.shape:
        raise ShapeError(f"a gradient of shape {given.shape} does not fit a result of {output.shape}")
    if create_graph and isinstance(gradient, Tensor):
        return clone(gradient)
    seed = given.astype(output.dtype)  # a copy: the gradient of a leaf is its own
    return wrap(seed) if create_graph else seed


def _dense(g: Any) -> Tensor:
    return g if isinstance(g, Tensor) else wrap(g.dense() if type(g) is RowSparse else g)


def _as_gradient(g: Any) -> Any:
    """The form that `.grad` holds: a Tensor, or the rows of a row-sparse gradient."""
    return wrap(g) if type(g) is np.ndarray or not isinstance(g, (Tensor, RowSparse)) else g


def _sum(old: Any, new: Any) -> Any:
    """Two gradients of one leaf, the new one a Tensor only under create_graph."""
    if isinstance(new, Tensor):
        return _dense(old) + new
    return _as_gradient((old._data if isinstance(old, Tensor) else old) + new)
