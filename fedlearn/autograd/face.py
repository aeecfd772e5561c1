"""How ops are called as functions and as methods: NumPy's arguments, PyTorch's names for them, typed errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar

from fedlearn.autograd.graph import Op
from fedlearn.autograd.names import numpy_names, under
from fedlearn.checked import check_flags, flags_of
from fedlearn.errors import BadInput, FedlearnError, ShapeError

T = TypeVar("T")
FUNCTIONS: dict[str, Callable[..., Any]] = {}  # what is composed of ops, by name; the ops themselves: graph.OPS


def function(composed: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function that is composed of ops, with arguments and errors as `typed` has them."""
    called = typed(composed)
    FUNCTIONS[composed.__name__] = called
    return called


def typed(composed: Callable[..., Any]) -> Callable[..., Any]:
    """A function, or a method, that takes PyTorch's names for axis and keepdims too, and lists of axes.

    What is annotated as bool is checked. Errors of Python and NumPy become `ShapeError` and `BadInput`.
    """
    flags = bool(flags_of(composed))

    @wraps(composed)
    def called(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            kwargs = numpy_names(kwargs)
        if flags:
            check_flags(composed, args, kwargs)
        try:
            return composed(*args, **kwargs)
        except FedlearnError:
            raise
        except (ValueError, IndexError) as error:
            raise ShapeError(f"{composed.__name__}: {error}") from error
        except (TypeError, AttributeError, OverflowError, ZeroDivisionError, MemoryError) as error:
            raise BadInput(f"{composed.__name__}: {error}") from error

    return called


def own_names(methods: type[T]) -> type[T]:
    """The class, with each method named as its attribute is, since Python's errors call it by that name.

    A method that was made by a function would be `by_name.<locals>.called()` in them.
    """
    for name, called in vars(methods).items():
        while isinstance(called, FunctionType) and "." in called.__qualname__:
            called.__name__ = called.__qualname__ = name
            called = getattr(called, "__wrapped__", None)
    return methods


def method(op: Op, cast: bool = False) -> Callable[..., Any]:
    """An op as a method, its parameters by position too: x.sum(0), x.sum(axis=0), x.sum(dim=0).

    cast: it takes `dtype` as well, in which it is computed.
    """
    parameters = list(inspect.signature(op.forward).parameters)[1:] if inspect.isfunction(op.forward) else []

    def called(x: Any, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs:
            return op(x)
        if args:
            if len(args) > len(parameters):
                raise BadInput(f"{op} takes {', '.join(parameters) or 'no arguments'}, given were {args}")
            placed = dict(zip(parameters, args, strict=False))
            for name in placed.keys() & kwargs.keys():
                raise BadInput(f"{op}'s {name} is given by position and by name: give it once")
            kwargs.update(placed)
        dtype = kwargs.pop("dtype", None) if cast else None
        return op(x if dtype is None else x.astype(dtype), **numpy_names(kwargs))

    called.__doc__ = f"ops.{op.name} of this tensor" + (f": {', '.join(parameters)}." if parameters else ".")
    return called


def renamed(called: Callable[..., Any], **names: str) -> Callable[..., Any]:
    """The same function, which takes arguments by further names: PyTorch's, each with the one that it stands for."""

    @wraps(called)
    def by_either(*args: Any, **kwargs: Any) -> Any:
        return called(*args, **under(names, kwargs))

    return by_either
