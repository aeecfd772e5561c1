"""PyTorch's methods for arithmetic and comparisons, as x.add(y, alpha=2) and x.div_(y).

An operator that cannot take its other side says NotImplemented, so that Python asks that one; a method refuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fedlearn.autograd import ops
from fedlearn.autograd.inplace import update
from fedlearn.autograd.node import raw
from fedlearn.errors import BadInput

if TYPE_CHECKING:
    from fedlearn.autograd.graph import Op


def by_name(op: Op) -> Callable[..., Any]:
    """An op of two sides as a method."""

    def called(self: Any, other: Any) -> Any:
        return op(self, other)

    called.__doc__ = f"ops.{op.name} of this tensor and another."
    return called


def in_place(op: Op) -> Callable[..., Any]:
    """The method that ends in an underscore: this tensor becomes the result."""

    def called(self: Any, other: Any) -> Any:
        return update(self, op, other)

    called.__doc__ = f"ops.{op.name} in place."
    return called


def scaled(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same with `alpha`, by which the other side is multiplied first."""

    def called(self: Any, other: Any, *, alpha: float = 1) -> Any:
        return method(self, other if alpha == 1 else ops.mul(other, alpha))

    called.__doc__ = f"{method.__doc__} The other is multiplied by `alpha` first."
    return called


def compared(operator: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A comparison as a method: an array of bools."""

    def called(self: Any, other: Any) -> Any:
        found = operator(self, other)
        if found is NotImplemented:
            raise BadInput(f"{name} compares with numbers, arrays and Tensors, not with {type(other).__name__}")
        return found

    called.__doc__ = f"Element by element, whether {name} holds: an array."
    return called


def div(self: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """The quotient; with the rounding mode "floor" or "trunc" a whole number, down or towards 0, with gradient 0."""
    if rounding_mode is None:
        return ops.div(self, other)
    if rounding_mode == "floor":
        return ops.floor_divide(self, other)
    if rounding_mode != "trunc":
        raise BadInput(f"rounding_mode is {rounding_mode!r:.60}: give floor, trunc, or None")
    quotient = ops.div(self, other)
    return ops.where(raw(quotient) < 0, ops.ceil(quotient), ops.floor(quotient))


def pow(self: Any, exponent: Any) -> Any:
    """These numbers to the power of `exponent`."""
    return ops.power(self, exponent)
