"""Python's operators on a Tensor, and methods under NumPy's and PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.autograd.face import method, own_names, renamed, typed
from fedlearn.autograd.inplace import update, wants_gradient, write
from fedlearn.autograd.names import once
from fedlearn.autograd.node import Node, raw
from fedlearn.autograd.ops.shape import axes_of
from fedlearn.checked import as_array
from fedlearn.errors import BadInput, ShapeError

if TYPE_CHECKING:
    from fedlearn.autograd.graph import Op
    from fedlearn.autograd.tensor import Tensor

INDICES = {int, slice, np.ndarray, type(None), type(...)}  # of those that are no tuples or lists, as NumPy takes them
FITS = (Node, float, int, np.ndarray, np.generic, list, tuple)  # what an operator takes on its other side

Operator = Callable[[Any, Any], Any]


def _forward(op: Op) -> Operator:
    def operator(self: Any, other: Any) -> Any:
        return op(self, other) if isinstance(other, FITS) else NotImplemented

    return operator


def _reflected(op: Op) -> Operator:
    def operator(self: Any, other: Any) -> Any:
        return op(other, self) if isinstance(other, FITS) else NotImplemented

    return operator


def _in_place(op: Op) -> Operator:
    def operator(self: Any, other: Any) -> Any:
        return update(self, op, other) if isinstance(other, FITS) else NotImplemented

    return operator


def _compared(ufunc: np.ufunc) -> Operator:
    """Comparisons and bit operations give arrays: they have no gradient."""

    def operator(self: Any, other: Any) -> Any:
        if not isinstance(other, FITS):
            return NotImplemented
        try:
            return ufunc(self._data, raw(other))
        except ValueError as error:
            raise ShapeError(f"{ufunc.__name__}: {error}") from error
        except (TypeError, OverflowError) as error:
            raise BadInput(f"{ufunc.__name__}: {error}") from error

    return operator


def _spread(op: Op) -> Callable[..., Any]:
    """Variance or deviation, its second argument PyTorch's: x.var(0, False), and x.var(False), divide by n."""

    @typed
    def called(
        self: Any, axis: Any = None, unbiased: bool = True, keepdims: bool = False, *, correction: Any = None
    ) -> Any:
        if isinstance(axis, bool):
            axis, unbiased = None, axis
        if not isinstance(unbiased, bool | np.bool_):
            raise BadInput(f"{op} is unbiased or not, given was {unbiased!r:.60}: give True or False, or correction=")
        return op(self, axis=axis, keepdims=keepdims, correction=int(unbiased) if correction is None else correction)

    return called


@own_names
class Operators(Node):
    """The arithmetic face of `Tensor`. Methods follow NumPy (axis, keepdims), so that a vjp reads the same on both.

    PyTorch's names of arguments (dim, keepdim) do as well.
    """

    __add__, __radd__, __iadd__ = _forward(ops.add), _reflected(ops.add), _in_place(ops.add)
    __sub__, __rsub__, __isub__ = _forward(ops.sub), _reflected(ops.sub), _in_place(ops.sub)
    __mul__, __rmul__, __imul__ = _forward(ops.mul), _reflected(ops.mul), _in_place(ops.mul)
    __truediv__, __rtruediv__, __itruediv__ = _forward(ops.div), _reflected(ops.div), _in_place(ops.div)
    __pow__, __rpow__, __ipow__ = _forward(ops.power), _reflected(ops.power), _in_place(ops.power)
    __matmul__, __rmatmul__, __imatmul__ = _forward(ops.matmul), _reflected(ops.matmul), _in_place(ops.matmul)
    __mod__, __rmod__, __imod__ = _forward(ops.remainder), _reflected(ops.remainder), _in_place(ops.remainder)
    __floordiv__, __rfloordiv__ = _forward(ops.floor_divide), _reflected(ops.floor_divide)
    __ifloordiv__ = _in_place(ops.floor_divide)

    __lt__, __le__ = _compared(np.less), _compared(np.less_equal)
    __gt__, __ge__ = _compared(np.greater), _compared(np.greater_equal)
    __eq__, __ne__ = _compared(np.equal), _compared(np.not_equal)
    __and__, __or__, __xor__ = _compared(np.bitwise_and), _compared(np.bitwise_or), _compared(np.bitwise_xor)
    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__
    __hash__ = object.__hash__  # by identity

    def __neg__(self) -> Tensor:
        return ops.neg(self)  # type: ignore[no-any-return]

    def __pos__(self) -> Tensor:
        return ops.clone(self)  # type: ignore[no-any-return]

    def __abs__(self) -> Tensor:
        return ops.abs_(self)  # type: ignore[no-any-return]

    def __invert__(self) -> Any:
        if self._data.dtype.kind == "f":
            raise BadInput(f"~ of a {self._data.dtype} tensor: only bools and whole numbers have bits to turn")
        return np.invert(self._data)

    def __round__(self, decimals: int = 0) -> Tensor:
        return ops.round_(self, decimals=decimals or 0)  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index=plain_index(index))  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, number: Any) -> bool:
        return bool((self == number).any())

    # Element by element

    abs, sign, square, sqrt = method(ops.abs_), method(ops.sign), method(ops.square), method(ops.sqrt)
    exp, exp2, expm1 = method(ops.exp), method(ops.exp2), method(ops.expm1)
    log, log2, log10, log1p = method(ops.log), method(ops.log2), method(ops.log10), method(ops.log1p)
    sin, cos, tan = method(ops.sin), method(ops.cos), method(ops.tan)
    asin, acos, atan = method(ops.asin), method(ops.acos), method(ops.atan)
    sinh, cosh, tanh = method(ops.sinh), method(ops.cosh), method(ops.tanh)
    asinh, acosh, atanh = method(ops.asinh), method(ops.acosh), method(ops.atanh)
    arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh
    sigmoid, relu, erf = method(ops.sigmoid), method(ops.relu), method(ops.erf)
    floor, ceil, round, clone = method(ops.floor), method(ops.ceil), method(ops.round_), method(ops.clone)
    neg, copy = method(ops.neg), clone
    masked_fill = ops.masked_fill

    def copy_(self, source: Any) -> Any:
        """The numbers of `source`, broadcast, written into this tensor, as by `tensor[...] = source`."""
        write(self, ..., source)
        return self

    def fill_(self, value: Any) -> Any:
        """One number written everywhere."""
        return self.copy_(value)

    def zero_(self) -> Any:
        """Zeros written everywhere, as into a gradient before the next pass."""
        return self.copy_(0)

    @typed
    def clip(self, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None) -> Any:
        """Numbers below `low` as `low`, those above `high` as `high` (also as min and max).

        A bound that wants a gradient has that of the numbers which it replaces.
        """
        low, high = once(low, min, "low"), once(high, max, "high")
        if not (wants_gradient(low) or wants_gradient(high)):
            return ops.clip(self, low=raw(low), high=raw(high))
        raised = ops.where(np.isnan(raw(self)), raw(self), self)
        if low is not None:
            raised = ops.where(raw(raised) < raw(low), low, raised)
        return raised if high is None else ops.where(raw(raised) > raw(high), high, raised)

    clamp = clip

    # Along an axis

    sum, mean, prod, var, std = (
        method(ops.sum_, True),
        method(ops.mean, True),
        method(ops.prod, True),
        _spread(ops.var),
        _spread(ops.std),
    )
    max, min, amax, amin = method(ops.max_), method(ops.min_), method(ops.amax), method(ops.amin)
    cumsum, cumprod = method(ops.cumsum, True), method(ops.cumprod, True)
    softmax, log_softmax, logsumexp = method(ops.softmax), method(ops.log_softmax), method(ops.logsumexp)
    any, all, argmax, argmin = ops.any_, ops.all_, ops.argmax, ops.argmin

    @typed
    def argsort(self, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        """The places of the numbers in order: see ops.argsort, which is always stable."""
        return ops.argsort(self, axis, descending)

    @typed
    def sort(self, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
        """The numbers along an axis in order, always stable, and the places where they were (as PyTorch)."""
        return ops.sort(self, axis, descending), ops.argsort(self, axis, descending)

    @typed
    def topk(self, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        """The k largest or smallest numbers along an axis, always in order, and their places: see ops.topk."""
        return ops.topk(self, k, axis, largest)

    @typed
    def norm(self, p: Any = None, axis: Any = None, keepdims: bool = False, *, ord: Any = None) -> Any:
        """The length of all numbers, or of those along an axis: see ops.norm."""
        return ops.norm(self, once(p, ord, "ord"), axis, keepdims)

    dot, outer = ops.dot, renamed(ops.outer, vec2="b")

    # In another arrangement

    swapaxes = renamed(method(ops.swapaxes), axis0="first", axis1="second", dim0="first", dim1="second")
    gather = ops.gather
    squeeze, unsqueeze, moveaxis, movedim = ops.squeeze, ops.unsqueeze, ops.moveaxis, ops.moveaxis
    roll, diff, diag, trace = ops.roll, ops.diff, renamed(ops.diag, diagonal="offset"), ops.trace
    diagonal = renamed(ops.diagonal, dim1="axis1", dim2="axis2")
    tril, triu, split = ops.tril, ops.triu, renamed(ops.split, split_size="sizes")

    @typed
    def flip(self, axis: Any = None, *more: Any) -> Any:
        """The order reversed along one axis, along several (one after another or as a tuple), or along all."""
        return ops.flip(self, axis=(axis, *more) if more else axis)

    def reshape(self, *lengths: Any, shape: Any = None) -> Tensor:
        return ops.reshape(self, shape=sizes(lengths, shape))  # type: ignore[no-any-return]

    view = renamed(reshape, size="shape")

    def tile(self, *times: Any, dims: Any = None) -> Any:
        """The whole array several times along each of its last axes: see ops.tile."""
        return ops.tile(self, sizes(times, dims))

    def transpose(self, *axes: Any, dim0: Any = None, dim1: Any = None) -> Tensor:
        """Two axes swapped (PyTorch's), or all in a new order (NumPy's); reversed when none is given."""
        count = self._data.ndim
        axes = (*axes, *(axis for axis in (dim0, dim1) if axis is not None))
        if len(axes) == 2 and count > 1 and np.ndim(axes[0]) == 0:
            return ops.swapaxes(self, first=axes[0], second=axes[1])  # type: ignore[no-any-return]
        return self.permute(*axes) if axes and axes[0] is not None else self.permute(*range(count)[::-1])

    def permute(self, *axes: Any, dims: Any = None) -> Tensor:
        """Axes in a new order (PyTorch's name)."""
        return ops.transpose(self, axes=sizes(axes, dims))  # type: ignore[no-any-return]

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        return self.transpose()

    @property
    def mT(self) -> Tensor:  # noqa: N802 (PyTorch's name)
        if self._data.ndim < 2:
            raise ShapeError(f"mT swaps the last two axes, this tensor is {self._data.shape}: T takes any")
        return ops.swapaxes(self, first=-2, second=-1)  # type: ignore[no-any-return]

    def t(self) -> Tensor:
        """A matrix transposed; a vector or a number as it is."""
        if self._data.ndim > 2:
            raise ShapeError(f"t() takes a matrix, this tensor is {self._data.shape}: give transpose() two axes")
        return self.transpose()

    @typed
    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Any:
        """The axes from `start_dim` to `end_dim` made into one."""
        shape = self._data.shape
        if not shape:
            return self.reshape(1)
        first, last = axes_of((start_dim, end_dim), len(shape))
        if first > last:
            raise ShapeError(f"flatten from axis {start_dim} to {end_dim}: the first comes after the last")
        return self.reshape(*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :])

    def ravel(self) -> Tensor:
        return self.reshape(self._data.size)

    @typed
    def expand(self, *shape: Any, size: Any = None) -> Any:
        """Broadcast to `shape`, where -1 keeps an axis (PyTorch's name)."""
        wanted = sizes(shape, size)
        old = (1,) * (len(wanted) - self._data.ndim) + self._data.shape
        return ops.broadcast_to(self, shape=tuple(o if n == -1 else n for o, n in zip(old, wanted, strict=True)))

    def broadcast_to(self, *shape: Any) -> Tensor:
        return ops.broadcast_to(self, shape=sizes(shape))  # type: ignore[no-any-return]

    def repeat(self, *times: Any, repeats: Any = None, axis: int | None = None) -> Any:
        """The whole array several times along each axis (PyTorch's), or with `axis` each slice of it (NumPy's)."""
        times = once(times, None if repeats is None else (repeats,), "repeats")
        return ops.tile(self, sizes(times)) if axis is None else ops.repeat(self, *times, axis=axis)

    repeat_interleave = ops.repeat

    @typed
    def astype(self, dtype: Any) -> Any:
        """The same numbers in another precision, recorded."""
        if dtype is None:
            raise BadInput("None is no dtype, though NumPy takes it for float64: give one, as np.float32")
        return ops.astype(self, dtype=np.dtype(dtype))

    def float(self) -> Tensor:
        return self.astype(np.float32)  # type: ignore[no-any-return]

    def double(self) -> Tensor:
        return self.astype(np.float64)  # type: ignore[no-any-return]

    def long(self) -> Tensor:
        return self.astype(np.int64)  # type: ignore[no-any-return]


def plain_index(index: Any) -> Any:
    """An index without Tensors and lists, as NumPy takes it."""
    if isinstance(index, tuple):
        return tuple([plain_index(i) for i in index])
    if isinstance(index, list):
        return np.array(index) if index else np.zeros(0, np.int64)
    index = raw(index)
    if type(index) in INDICES or isinstance(index, np.generic) or not hasattr(index, "__array__"):
        return index
    return as_array("indices", index)  # another library's array of one number would else count as that number


def sizes(given: tuple[Any, ...], by_name: Any = None) -> tuple[int, ...]:
    """(2, 3) from f(2, 3), from f((2, 3)), and from f(shape=(2, 3)), which is given by name."""
    given = once(given, None if by_name is None else (by_name,), "the shape")
    if len(given) == 1 and (isinstance(given[0], tuple | list) or np.ndim(given[0])):
        return tuple(given[0])
    return given
