"""Objects that are made of plain arguments: what these are, and whether their values can be used.

A strategy or a protection is described to other processes by its class and its arguments. These are the parameters of
its constructor, each kept as an attribute of the same name, as a dataclass does by itself.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Hashable
from dataclasses import fields
from functools import cache, lru_cache
from operator import index
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, cast, get_args, get_origin, get_type_hints

from fedlearn.errors import BadInput


class Named:
    """A class whose `name` is its own in lower case, unless it says another."""

    name: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls) and "name" not in vars(cls).get("__annotations__", {}):
            cls.name = cls.__name__.lower()


def check_complete(kind: Any) -> None:
    """Raise `BadInput` for a class that lacks methods which every class of its kind must have."""
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise BadInput(f"class {kind.__name__} lacks {', '.join(missing)}: define them")


def arguments_of(thing: Any) -> dict[str, Any]:
    """The arguments that construct `thing` again: its constructor's parameters, read from attributes of these names.

    Raises `BadInput` where there is no such attribute.
    """
    kind = type(thing)
    named = _parameters_of(cast(Hashable, kind))
    missing = [name for name in named if not hasattr(thing, name)]
    if missing:
        raise BadInput(
            f"{kind.__name__} does not keep its argument {missing[0]}: set self.{missing[0]} in __init__, "
            "or define arguments()"
        )
    return {name: getattr(thing, name) for name in named}


@lru_cache(maxsize=256)
def _parameters_of(kind: Hashable) -> tuple[str, ...]:
    """The names of its constructor's parameters; to find them out takes as long as to build it a few times."""
    parameters = inspect.signature(cast(type, kind)).parameters.values()
    return tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))


def whole_number(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """`value` as an int, NumPy's integers too; raises `BadInput` for any other kind and outside of least..most."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)
    except TypeError:
        raise BadInput(f"{name} is {value!r:.80}, a whole number is needed") from None
    if (least is not None and number < least) or (most is not None and number > most):
        limits = f"at least {least}" if most is None else f"from {least} to {most}"
        raise BadInput(f"{name} is {number}, it must be {limits}")
    return number


def real_number(
    name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf, below: float = math.inf, usual: str
) -> float:
    """`value` as a finite float with least <= value, above < value < below, NumPy's numbers too; else `BadInput`.

    usual: what to take instead, for the message.
    """
    limits = [f"at least {least:g}"] * (least > -math.inf) + [f"above {above:g}"] * (above > -math.inf)
    limits += [f"under {below:g}" if below < math.inf else "finite"]
    try:
        if isinstance(value, bool | str | bytes):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadInput(f"{name} is {value!r:.80}, a number is needed: {usual}") from None
    if not (math.isfinite(number) and least <= number and above < number < below):
        raise BadInput(f"{name} is {number:g}, it must be {' and '.join(limits)}: {usual}")
    return number


def make_whole(thing: Any, name: str, least: int, most: int | None = None) -> None:
    """Check an attribute by `whole_number` and put the int in its place, in a frozen dataclass too."""
    object.__setattr__(thing, name, whole_number(name, getattr(thing, name), least, most))


def make_real(thing: Any, name: str, **limits: Any) -> None:
    """Check an attribute by `real_number` and put the float in its place, in a frozen dataclass too."""
    object.__setattr__(thing, name, real_number(f"{thing.name} {name}", getattr(thing, name), **limits))


def make_plain(thing: Any) -> None:
    """Check all arguments of a dataclass by their annotations, and put plain Python values in their places.

    int, float and bool take NumPy's numbers too; a float is finite. Of other classes an instance is needed. Raises
    `BadInput` that names the argument. What else an argument must be, the dataclass checks afterwards.
    """
    hints = _hints(cast(Hashable, type(thing)))
    for field in fields(thing):
        name = f"{getattr(thing, 'name', type(thing).__name__.lower())} {field.name}"
        object.__setattr__(thing, field.name, plain_value(name, getattr(thing, field.name), hints[field.name]))


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    """The annotations of a class; finding them takes longer than all the rest, and some are made in every round."""
    return get_type_hints(kind)


def plain_value(name: str, value: Any, kind: Any) -> Any:
    """A value as its annotation has it, as `make_plain` says; `BadInput` for another one."""
    choices = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if value is None and NoneType in choices:
        return None
    kind, *others = (choice for choice in choices if choice is not NoneType)
    if others:  # as Path | str
        if not isinstance(value, (kind, *others)):
            names = " or ".join(choice.__name__ for choice in (kind, *others))
            raise BadInput(f"{name} is {value!r:.80}, a {names} is needed")
        return value
    if get_origin(kind) is Literal:
        if not isinstance(value, tuple(type(choice) for choice in get_args(kind))) or value not in get_args(kind):
            raise BadInput(f"{name} is {value!r:.80}: choose {', '.join(map(str, get_args(kind)))}")
        return value
    if kind is int:
        return whole_number(name, value)
    if kind is float:
        return real_number(name, value, usual="give a number")
    kind = get_origin(kind) or kind
    if kind is bool and str(getattr(value, "dtype", "")) == "bool" and value.ndim == 0:  # NumPy's
        return bool(value)
    if not isinstance(value, kind):
        raise BadInput(f"{name} is {value!r:.80}, a {kind.__name__} is needed")
    return value
