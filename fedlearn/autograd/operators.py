"""What can be written with a Tensor: Python's operators and NumPy's methods, each a row of the table of ops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlearn.autograd import ops
from fedlearn.autograd.node import Node, raw

if TYPE_CHECKING:
    from fedlearn.autograd.tensor import Tensor

Axis = int | tuple[int, ...] | None


class Operators(Node):
    """The arithmetic face of `Tensor`. Methods follow NumPy (axis, keepdims), so that a vjp reads the same on both."""

    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return ops.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.sub(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.mul(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.mul(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.div(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return ops.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return ops.power(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.neg(self)

    def __abs__(self) -> Tensor:
        return ops.abs_(self)

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index=plain_index(index))

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
        return ops.abs_(self)

    def exp(self) -> Tensor:
        return ops.exp(self)

    def log(self) -> Tensor:
        return ops.log(self)

    def sqrt(self) -> Tensor:
        return ops.sqrt(self)

    def tanh(self) -> Tensor:
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        return ops.sigmoid(self)

    def relu(self) -> Tensor:
        return ops.relu(self)

    def clip(self, low: float | None = None, high: float | None = None) -> Tensor:
        return ops.clip(self, low=low, high=high)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return ops.sum_(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return ops.max_(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return ops.min_(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False, correction: int = 1) -> Tensor:
        """Variance with the divisor n - correction (PyTorch's default of 1, where NumPy's is 0)."""
        return ops.var(self, axis=axis, keepdims=keepdims, correction=correction)

    def cumsum(self, axis: int) -> Tensor:
        return ops.cumsum(self, axis=axis)

    def argmax(self, axis: int | None = None) -> Any:
        return self._data.argmax(axis)

    def reshape(self, *shape: Any) -> Tensor:
        return ops.reshape(self, shape=_flat(shape))

    def transpose(self, *axes: Any) -> Tensor:
        """Axes in a new order; reversed when none is given (as NumPy)."""
        return ops.transpose(self, axes=_flat(axes) or tuple(range(self._data.ndim))[::-1])

    def permute(self, *axes: Any) -> Tensor:
        """Axes in a new order (PyTorch's name)."""
        return ops.transpose(self, axes=_flat(axes))

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        return self.transpose()

    def swapaxes(self, first: int, second: int) -> Tensor:
        return ops.swapaxes(self, first=first, second=second)

    def squeeze(self, axis: Axis = None) -> Tensor:
        return ops.reshape(self, shape=self._data.squeeze(axis).shape)

    def unsqueeze(self, axis: int) -> Tensor:
        return ops.reshape(self, shape=np.expand_dims(self._data, axis).shape)

    def flatten(self, start: int = 0) -> Tensor:
        """The axes from `start` on made into one."""
        return ops.reshape(self, shape=(*self._data.shape[:start], -1))

    def expand(self, *shape: Any) -> Tensor:
        """Broadcast to `shape`, where -1 keeps an axis (PyTorch's name)."""
        wanted = _flat(shape)
        old = (1,) * (len(wanted) - self._data.ndim) + self._data.shape
        return ops.broadcast_to(self, shape=tuple(o if n == -1 else n for o, n in zip(old, wanted, strict=True)))

    def broadcast_to(self, *shape: Any) -> Tensor:
        return ops.broadcast_to(self, shape=_flat(shape))

    def flip(self, axis: Axis = None) -> Tensor:
        return ops.flip(self, axis=axis)

    def astype(self, dtype: Any) -> Tensor:
        return ops.astype(self, dtype=np.dtype(dtype))


def plain_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(plain_index(i) for i in index)
    return np.asarray(index) if isinstance(index, list) else raw(index)


def _flat(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from f(2, 3) and from f((2, 3))."""
    return tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
