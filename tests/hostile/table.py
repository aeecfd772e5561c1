"""A table of calls for a room: its functions, constructors and methods, each with ordinary arguments and then odd ones.

It is made of modules and of the classes of some objects, so that a new name is in it by itself; it then asks what an
ordinary argument is, where there is none of that name yet.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from tests.hostile.inputs import NO_NUMBERS, NUMBERS, ODD_ARGUMENTS, attempt, public_functions

Make = Callable[[], Any]
ODD = [*ODD_ARGUMENTS, [None], [[1], [2, 3]], ["word"], [b"bytes"], np.zeros(3), np.zeros((2, 0)), np.zeros(2, object)]


class Table:
    """By name, what to call; "Class" is its constructor, "Class.method" a method of a new ordinary object.

    "module.name" is a second function of the same name.

    modules: all of their public functions. objects: what makes an ordinary one of each class. ordinary: arguments by
    the name of their parameter, or by "call/parameter" where that means something else; a function makes a new one each
    time. What has a default needs none. left_out: calls that are not for users, each with the reason.
    """

    def __init__(
        self,
        modules: Iterable[ModuleType] = (),
        objects: Mapping[type, Make] | None = None,
        ordinary: Mapping[str, Any] | None = None,
        left_out: Mapping[str, str] | None = None,
    ):
        self._ordinary = ordinary or {}
        found: dict[str, Callable[..., Any]] = {}
        for module in modules:
            for name, call in public_functions(module).items():
                found[f"{module.__name__.rpartition('.')[2]}.{name}" if name in found else name] = call
        for kind, make in (objects or {}).items():
            found[kind.__name__] = kind
            found |= {f"{kind.__name__}.{name}": _of_new(make, name) for name in _methods(kind)}
        unknown = (left_out or {}).keys() - found.keys()
        assert not unknown, f"there are no {unknown} to leave out"
        self.calls = {name: call for name, call in found.items() if name not in (left_out or {})}

    def arguments(self, name: str) -> dict[str, Any]:
        """Ordinary ones, new each time."""
        given = {}
        for parameter in inspect.signature(self.calls[name]).parameters.values():
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            key = f"{name}/{parameter.name}" if f"{name}/{parameter.name}" in self._ordinary else parameter.name
            assert key in self._ordinary or parameter.default is not parameter.empty, f"{name}: an ordinary {key}?"
            value = self._ordinary.get(key, parameter.default)
            given[parameter.name] = value() if inspect.isfunction(value) else value
        return given

    def check_ordinary(self, name: str) -> None:
        """Ordinary arguments are taken."""
        found = attempt(self.calls[name], **self.arguments(name))
        assert not isinstance(found, Exception), found

    def check_odd(self, name: str) -> None:
        """Each argument in turn replaced by what nobody expects: a result, or a typed error in one line."""
        for parameter, odd in self.odd_arguments(name):
            try:
                attempt(self.calls[name], **self.arguments(name) | {parameter: odd})
            except Exception as error:
                raise AssertionError(f"{name}({parameter}={odd!r:.200}): {type(error).__name__}: {error}") from error

    def odd_arguments(self, name: str) -> Iterator[tuple[str, Any]]:
        for parameter, usual in self.arguments(name).items():
            yield from ((parameter, odd) for odd in ODD)
            if isinstance(usual, np.ndarray):
                yield from ((parameter, change(usual)) for change in (NUMBERS | NO_NUMBERS).values())


def _methods(kind: type) -> list[str]:
    """Its public methods, its bases' too."""
    named = {name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")}
    return [name for name, found in named.items() if inspect.isfunction(found) or isinstance(found, classmethod)]


def _of_new(make: Make, method: str) -> Callable[..., Any]:
    def call(**given: Any) -> Any:
        return getattr(make(), method)(**given)

    call.__signature__ = inspect.signature(getattr(make(), method))  # type: ignore[attr-defined]
    return call
