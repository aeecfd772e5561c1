"""Tensor methods under names that PyTorch alone has, each composed of the ops in a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fedlearn import leftout
from fedlearn.autograd import ops, torch_arithmetic
from fedlearn.autograd.face import own_names, typed
from fedlearn.autograd.names import is_cpu, once
from fedlearn.autograd.node import Node
from fedlearn.autograd.operators import Operators
from fedlearn.autograd.torch_arithmetic import by_name, compared, in_place, scaled
from fedlearn.checked import flag
from fedlearn.errors import BadInput, ShapeError
from fedlearn.wording import many

KINDS = ("a number", "a vector", "a matrix", "a stack of matrices")  # arrays by how many axes they have


def _product(name: str, first: int, second: int) -> Callable[[Any, Any], Any]:
    """`matmul` of two arrays of these ranks, and of no others."""

    @typed
    def called(self: Any, other: Any) -> Any:
        if (np.ndim(self), np.ndim(other)) != (first, second):
            raise ShapeError(
                f"{name} takes {KINDS[first]} and {KINDS[second]}, not {np.shape(self)} and {np.shape(other)}: "
                "see matmul"
            )
        return ops.matmul(self, other)

    return called


def _cast(dtype: type) -> Callable[[Any], Any]:
    """A method: the same numbers in another precision, recorded."""

    def called(self: Any) -> Any:
        return self.astype(dtype)

    return called


class Count(int):
    """How many numbers there are, as NumPy's `size`. Called, as PyTorch's size() and size(0), it gives the shape."""

    shape: tuple[int, ...]

    def __call__(self, dim: Any = None) -> Any:
        try:
            return self.shape if dim is None else self.shape[dim]
        except (IndexError, TypeError) as error:
            raise ShapeError(f"size({dim!r:.60}) of a tensor of shape {self.shape}: {error}") from None


@own_names
@leftout.without(leftout.TENSORS)
class TorchNames(Operators):
    """Methods that people who know PyTorch write, beside those that NumPy has a name for."""

    device = "cpu"
    is_cpu = True

    def dim(self) -> Any:
        """How many axes there are."""
        return self._data.ndim

    ndimension = dim

    @property
    def size(self) -> Any:
        """How many numbers there are; `size()` is the shape, and `size(0)` its first length."""
        count = Count(self._data.size)
        count.shape = self._data.shape
        return count

    def numel(self) -> Any:
        """How many numbers there are."""
        return self._data.size

    nelement = numel

    @property
    def itemsize(self) -> Any:
        """Bytes of one number."""
        return self._data.itemsize

    @property
    def nbytes(self) -> Any:
        """Bytes of all numbers."""
        return self._data.nbytes

    def element_size(self) -> Any:
        return self._data.itemsize

    def is_floating_point(self) -> Any:
        return self._data.dtype.kind == "f"

    def is_signed(self) -> Any:
        return self._data.dtype.kind in "fi"

    def is_complex(self) -> Any:
        return False

    def contiguous(self) -> Any:
        return self

    def is_contiguous(self) -> Any:
        return bool(self._data.flags.c_contiguous)

    # In another precision

    def to(self, what: Any = None, *, dtype: Any = None) -> Any:
        """In the precision of a dtype or another tensor; "cpu", the one device, changes nothing."""
        what = once(what, dtype, "dtype")
        if isinstance(what, Node):
            return self.type_as(what)
        return self if is_cpu(what) else self.type(what)

    def cpu(self) -> Any:
        return self

    @typed
    def type(self, dtype: Any) -> Any:
        """The same numbers as `dtype`, recorded."""
        return self.astype(dtype)

    @typed
    def type_as(self, other: Any) -> Any:
        return self.astype(other.dtype)

    int, short, char = _cast(np.int32), _cast(np.int16), _cast(np.int8)
    bool, byte, half = _cast(np.bool_), _cast(np.uint8), _cast(np.float16)

    # Arithmetic

    absolute, positive, swapdims = Operators.abs, Operators.__pos__, Operators.swapaxes

    add, sub = scaled(by_name(ops.add)), scaled(by_name(ops.sub))
    mul, div, pow, remainder = by_name(ops.mul), torch_arithmetic.div, torch_arithmetic.pow, by_name(ops.remainder)
    matmul, floor_divide, logaddexp = by_name(ops.matmul), by_name(ops.floor_divide), by_name(ops.logaddexp)
    atan2, maximum, minimum = by_name(ops.atan2), by_name(ops.maximum), by_name(ops.minimum)
    arctan2 = atan2
    add_, sub_, mul_, div_ = scaled(in_place(ops.add)), scaled(in_place(ops.sub)), in_place(ops.mul), in_place(ops.div)
    mm, bmm, mv = _product("mm", 2, 2), _product("bmm", 3, 3), _product("mv", 2, 1)
    eq, ne = compared(Operators.__eq__, "=="), compared(Operators.__ne__, "!=")
    lt, le = compared(Operators.__lt__, "<"), compared(Operators.__le__, "<=")
    gt, ge = compared(Operators.__gt__, ">"), compared(Operators.__ge__, ">=")

    def reciprocal(self) -> Any:
        return 1 / self

    def rsqrt(self) -> Any:
        return 1 / self.sqrt()  # nan of -inf, of which the power -0.5 is 0

    @typed
    def lerp(self, end: Any, weight: Any) -> Any:
        """The way from these numbers to `end`, a share `weight` of it."""
        return self + weight * (end - self)

    def isnan(self) -> Any:
        return np.isnan(self._data)

    def isinf(self) -> Any:
        return np.isinf(self._data)

    def isfinite(self) -> Any:
        return np.isfinite(self._data)

    def argwhere(self) -> Any:
        """The places of what is not 0, whole numbers (count, axes)."""
        return np.argwhere(self._data)

    def nonzero(self, *, as_tuple: Any = False) -> Any:
        """The places of what is not 0, (count, axes), or as a tuple of the places along each axis."""
        return np.nonzero(self._data) if flag("as_tuple", as_tuple) else self.argwhere()

    def clamp_min(self, min: Any) -> Any:
        return self.clip(min, None)

    def clamp_max(self, max: Any) -> Any:
        return self.clip(None, max)

    def clamp_(self, min: Any = None, max: Any = None) -> Any:
        """`clamp` in place."""
        return self.copy_(self.clip(min, max))

    # Pieces

    @typed
    def expand_as(self, other: Any) -> Any:
        return self.expand(*other.shape)

    @typed
    def view_as(self, other: Any) -> Any:
        return self.reshape(*other.shape)

    reshape_as = view_as

    @typed
    def chunk(self, chunks: Any, axis: Any = 0) -> Any:
        """At most so many pieces along an axis, all but the last equally long."""
        if chunks < 1:
            raise BadInput(f"{many(chunks, 'chunk')}: give 1 or more")
        return ops.split(self, max(1, -(-self._data.shape[axis] // chunks)), axis)

    @typed
    def unbind(self, axis: Any = 0) -> Any:
        """Its slices along an axis, which goes."""
        return tuple(self.select(axis, i) for i in range(self._data.shape[axis]))

    @typed
    def narrow(self, axis: Any, start: Any, length: Any) -> Any:
        """`length` slices along an axis, from `start` on."""
        size = self._data.shape[axis]
        if not (length >= 0 and 0 <= start <= size - length):
            raise ShapeError(f"narrow({axis}, {start}, {length}) of {self._data.shape}: it has {many(size, 'slice')}")
        return self._along(axis, slice(start, start + length))

    @typed
    def select(self, axis: Any, index: Any) -> Any:
        """One slice along an axis, which goes."""
        return self._along(axis, index)

    @typed
    def index_add(self, axis: Any, index: Any, source: Any, *, alpha: Any = 1) -> Any:
        """With slices of `source`, times `alpha`, added at places along an axis: see ops.index_add."""
        return ops.index_add(self, axis, index, source if alpha == 1 else ops.mul(source, alpha))

    @typed
    def index_select(self, axis: Any, index: Any) -> Any:
        """The slices at `index` along an axis."""
        return self._along(axis, np.atleast_1d(np.asarray(index)))

    def _along(self, axis: Any, index: Any) -> Any:
        count = self._data.ndim
        if not -count <= axis < count:
            raise ShapeError(f"axis {axis} of a tensor of shape {self._data.shape}")
        return self[(slice(None),) * (axis % count) + (index,)]
