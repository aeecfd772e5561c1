"""Objects of a user's own on their way to another process, in a form from which the other side rebuilds the same.

A strategy or a protection travels in the run plan as plain data: where its class is, its name, its arguments. The
other process imports the class. A class that it cannot import (of a script, a notebook cell, a file of the user's,
a function) goes with it by value, as bytes made by cloudpickle: only between a parent and the processes that it
started itself, never from a file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.registry import FILES, bring, find, target_of

T = TypeVar("T")


class Described(Protocol):
    """An object that can be described: it has a name, and arguments that build it again."""

    @property
    def name(self) -> str: ...

    def arguments(self) -> Mapping[str, Any]: ...


def description(thing: Described) -> dict[str, Any]:
    """A strategy or a protection as plain data: "class", "name" and "arguments".

    Raises `BadInput` naming an argument that is no plain data, as an array is not, or an attribute that is none.
    """
    kind = type(thing)
    arguments = {name: _plain(value, f"{kind.__name__}'s {name}") for name, value in thing.arguments().items()}
    target = target_of(kind)
    described = {"class": target, "name": thing.name, "arguments": arguments}
    if find(target) is not kind:
        raise BadInput(f"{target} is another class now than that of the object given: make the object anew")
    lost = sorted(set(getattr(thing, "__dict__", ())) - set(getattr(rebuilt(described, kind), "__dict__", ())))
    lost = [name for name in lost if not isinstance(getattr(kind, name, None), cached_property)]
    if lost:
        raise BadInput(
            f"{kind.__name__}.{lost[0]} was set after construction, and clients would lack it: make it a field"
        )
    return described


def rebuilt(description: Mapping[str, Any], base: type[T]) -> T:
    """The object that `description` tells of; raises `BadInput` unless its class is a subclass of `base`.

    The class builds it: by `rebuild(arguments)` where it has that, else as `Class(**arguments)`.
    """
    try:
        target, arguments = description["class"], {n: _thawed(v) for n, v in description["arguments"].items()}
    except (KeyError, TypeError, AttributeError):
        raise BadInput(f"not a description of a {base.__name__}: {description!r:.80}") from None
    kind = find(target) if isinstance(target, str) else None
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise BadInput(f"{target!r} is no {base.__name__}: give a subclass of it")
    try:
        rebuild = getattr(kind, "rebuild", None)
        again = rebuild(arguments) if rebuild else kind(**arguments)
    except BadInput:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        reason = ascii(f"{arguments!r:.200}: {error}")[1:-1]  # which may quote what was sent
        raise BadInput(f"{target} cannot be built from the arguments {reason}") from error
    if not isinstance(again, base):
        raise BadInput(f"{target} was built again as a {type(again).__name__}: make rebuild() return a {base.__name__}")
    return again


def _plain(value: Any, what: str) -> Any:
    """A value as MessagePack can hold it; NumPy's numbers become Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, what) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(item, what) for name, item in value.items()}
    raise BadInput(
        f"{what} is a {type(value).__name__}: give numbers, strings, lists or dicts of them, which can be sent"
    )


def _thawed(value: Any) -> Any:
    """The same, with dicts in the place of a run plan's mappings; its lists stay tuples."""
    if isinstance(value, Mapping):
        return {name: _thawed(item) for name, item in value.items()}
    return tuple(map(_thawed, value)) if isinstance(value, list | tuple) else value


def classes(described: Any) -> Iterator[str]:
    """Every `module:Class` that a description names, also for a model's parts."""
    if isinstance(described, Mapping):
        if isinstance(described.get("class"), str):
            yield described["class"]
        for value in described.values():
            yield from classes(value)
    elif isinstance(described, list | tuple):
        for value in described:
            yield from classes(value)


def packed(thing: Any, targets: Iterable[str] = ()) -> bytes:
    """An object and the classes at `targets`, for `unpacked` in another process. What that cannot import goes along."""
    import cloudpickle

    targets = list(targets)
    strangers = {target: find(target) for target in targets if _is_strange(target)}
    # A module that this process has not imported is for the other one to refuse.
    others = [target for target in targets if target not in strangers and target.rpartition(":")[0] in sys.modules]
    files = [module for name, module in list(sys.modules.items()) if name.startswith(FILES)]
    for module in files:
        cloudpickle.register_pickle_by_value(module)
    try:
        found: bytes = cloudpickle.dumps((strangers, others, thing))
        return found
    finally:
        for module in files:
            cloudpickle.unregister_pickle_by_value(module)


def unpacked(data: bytes) -> Any:
    """The inverse of `packed`. Only for bytes of this process's own parent: unpickling runs code, and so does importing
    the classes at the targets, which afterwards are there where nothing may be imported.
    """
    import pickle

    strangers, others, thing = pickle.loads(data)
    for target, kind in strangers.items():
        bring(target, kind)
    for target in others:
        find(target)
    return thing


def _is_strange(target: str) -> bool:
    """True where a process of ours that does not import the user's script would not find the class."""
    place, _, name = target.rpartition(":")
    return place in ("__main__", "__mp_main__") or place.endswith(".py") or "<locals>" in name
