"""What can be written with a Tensor: Python's operators and NumPy's methods, each a row of the table of ops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fedlearn.autograd.graph import Op
    from fedlearn.autograd.tensor import Tensor

OPS: dict[str, Op] = {}  # the one table: a name, and how it is computed and differentiated

Axis = int | tuple[int, ...] | None


class Operators:
    """The arithmetic face of `Tensor`. Methods follow NumPy (axis, keepdims), so that a vjp reads the same on both."""

    _data: np.ndarray

    def __add__(self, other: Any) -> Tensor:
        return OPS["add"](self, other)

    def __radd__(self, other: Any) -> Tensor:
        return OPS["add"](other, self)

    def __sub__(self, other: Any) -> Tensor:
        return OPS["sub"](self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return OPS["sub"](other, self)

    def __mul__(self, other: Any) -> Tensor:
        return OPS["mul"](self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return OPS["mul"](other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return OPS["div"](self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return OPS["div"](other, self)

    def __pow__(self, other: Any) -> Tensor:
        return OPS["pow"](self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return OPS["pow"](other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return OPS["matmul"](self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return OPS["matmul"](other, self)

    def __neg__(self) -> Tensor:
        return OPS["neg"](self)

    def __abs__(self) -> Tensor:
        return OPS["abs"](self)

    def __getitem__(self, index: Any) -> Tensor:
        return OPS["getitem"](self, index=plain_index(index))

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        return len(self._data)

    # Comparisons give arrays of bool: they have no gradient. Tensors hash by identity.

    def __lt__(self, other: Any) -> np.ndarray:
        return self._data < raw(other)

    def __le__(self, other: Any) -> np.ndarray:
        return self._data <= raw(other)

    def __gt__(self, other: Any) -> np.ndarray:
        return self._data > raw(other)

    def __ge__(self, other: Any) -> np.ndarray:
        return self._data >= raw(other)

    def __eq__(self, other: Any) -> np.ndarray:  # type: ignore[override]
        return self._data == raw(other)

    def __ne__(self, other: Any) -> np.ndarray:  # type: ignore[override]
        return self._data != raw(other)

    __hash__ = object.__hash__

    # Methods

    def abs(self) -> Tensor:
        return OPS["abs"](self)

    def exp(self) -> Tensor:
        return OPS["exp"](self)

    def log(self) -> Tensor:
        return OPS["log"](self)

    def sqrt(self) -> Tensor:
        return OPS["sqrt"](self)

    def tanh(self) -> Tensor:
        return OPS["tanh"](self)

    def sigmoid(self) -> Tensor:
        return OPS["sigmoid"](self)

    def relu(self) -> Tensor:
        return OPS["relu"](self)

    def clip(self, low: float | None = None, high: float | None = None) -> Tensor:
        return OPS["clip"](self, low=low, high=high)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["sum"](self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["mean"](self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["max"](self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return OPS["min"](self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False, correction: int = 1) -> Tensor:
        """Variance with the divisor n - correction (PyTorch's default of 1, where NumPy's is 0)."""
        return OPS["var"](self, axis=axis, keepdims=keepdims, correction=correction)

    def cumsum(self, axis: int) -> Tensor:
        return OPS["cumsum"](self, axis=axis)

    def argmax(self, axis: int | None = None) -> Any:
        return self._data.argmax(axis)

    def reshape(self, *shape: Any) -> Tensor:
        return OPS["reshape"](self, shape=_flat(shape))

    def transpose(self, *axes: Any) -> Tensor:
        """Axes in a new order; reversed when none is given (as NumPy)."""
        return OPS["transpose"](self, axes=_flat(axes) or tuple(range(self._data.ndim))[::-1])

    def permute(self, *axes: Any) -> Tensor:
        """Axes in a new order (PyTorch's name)."""
        return OPS["transpose"](self, axes=_flat(axes))

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        return self.transpose()

    def swapaxes(self, first: int, second: int) -> Tensor:
        return OPS["swapaxes"](self, first=first, second=second)

    def squeeze(self, axis: Axis = None) -> Tensor:
        return OPS["reshape"](self, shape=self._data.squeeze(axis).shape)

    def unsqueeze(self, axis: int) -> Tensor:
        return OPS["reshape"](self, shape=np.expand_dims(self._data, axis).shape)

    def flatten(self, start: int = 0) -> Tensor:
        """The axes from `start` on made into one."""
        return OPS["reshape"](self, shape=(*self._data.shape[:start], -1))

    def expand(self, *shape: Any) -> Tensor:
        """Broadcast to `shape`, where -1 keeps an axis (PyTorch's name)."""
        wanted = _flat(shape)
        old = (1,) * (len(wanted) - self._data.ndim) + self._data.shape
        return OPS["broadcast_to"](self, shape=tuple(o if n == -1 else n for o, n in zip(old, wanted, strict=True)))

    def broadcast_to(self, *shape: Any) -> Tensor:
        return OPS["broadcast_to"](self, shape=_flat(shape))

    def flip(self, axis: Axis = None) -> Tensor:
        return OPS["flip"](self, axis=axis)

    def astype(self, dtype: Any) -> Tensor:
        return OPS["astype"](self, dtype=np.dtype(dtype))


def raw(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x._data if isinstance(x, Operators) else x


def plain_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(plain_index(i) for i in index)
    return np.asarray(index) if isinstance(index, list) else raw(index)


def _flat(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from f(2, 3) and from f((2, 3))."""
    return tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
