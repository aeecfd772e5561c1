"""What callers leave out, and what a class says of itself, as one table: tests/defaults.txt.

A default that changes is a change for all who leave it out, and the aggregator goes by what a protection or a rule says
of itself. So neither changes by the way: change the line too, and say it in the CHANGELOG. `python -m
tests.test_defaults` writes the table anew, with what is new.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TABLE = Path(__file__).with_name("defaults.txt")
PACKAGES = ("fedlearn.crypto", "fedlearn.secure", "fedlearn.protocol", "clients", "aggregator")
PLAIN = (bool, int, float, str, bytes, type(None))
CHANGE = {  # the classes of values that are written to after they are made, each with the reason
    "fedlearn.crypto.vector.EncryptedVector": "a sum grows in place",
    "fedlearn.secure.encrypted._Account": "counts what is submitted",
    "clients.client.Client": "its behaviour is set when it is drawn",
    "aggregator.groups.Group": "loses clients within a round",
    "aggregator.history.RoundRecord": "filled in as the round goes on",
    "aggregator.history.History": "grows by a round at a time",
}


def modules(flower: bool = False) -> Iterator[ModuleType]:
    """All modules of the rooms; those that need Flower only where asked for."""
    for package in map(importlib.import_module, PACKAGES):
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if (".flower" in found.name) == flower and not found.name.endswith("selection"):  # needs numba
                yield importlib.import_module(found.name)


def described(module: ModuleType) -> Iterator[str]:
    """A line for each public function, method or constructor that has defaults, and for what a class says of itself."""
    for name, value in vars(module).items():
        if getattr(value, "__module__", "") != module.__name__ or name.startswith("_"):
            continue
        elif inspect.isclass(value):
            yield from _of_class(f"{module.__name__}.{name}", value)
        elif inspect.isroutine(value):
            yield from _defaults(f"{module.__name__}.{name}", value)


def _of_class(name: str, kind: type) -> Iterator[str]:
    fields = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    for part, value in vars(kind).items():
        function = getattr(value, "__func__", value)
        if inspect.isfunction(function) and (part == "__init__" or not part.startswith("_")):
            yield from _defaults(f"{name}.{part}", function)
        elif not part.startswith("_") and part not in fields and _is_plain(value):
            yield f"{name}.{part} = {_shown(value)}"


def _defaults(name: str, call: Any) -> Iterator[str]:
    for parameter in inspect.signature(call).parameters.values():
        if parameter.default is not parameter.empty:
            yield f"{name}({parameter.name}={_shown(parameter.default)})"


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        value = (*value, *value.values())
    return all(map(_is_plain, value)) if isinstance(value, (tuple, frozenset)) else isinstance(value, PLAIN)


def _shown(value: Any) -> str:
    if "FACTORY" in type(value).__name__:
        return "new"
    plain = _is_plain(value) or (dataclasses.is_dataclass(value) and not isinstance(value, type))
    return repr(value) if plain else f"<{type(value).__name__}>"


def no_longer_so(flower: bool) -> list[str]:
    """The lines of the table that the code does not keep to."""
    written = [line for line in TABLE.read_text().splitlines() if (".flower." in line.split("(")[0]) == flower]
    found = {line for module in modules(flower) for line in described(module)}
    return [line for line in written if line not in found]


def test_defaults_are_those_of_the_table():
    assert no_longer_so(flower=False) == []


def values() -> list[type]:
    kinds = {kind for module in modules() for kind in vars(module).values() if isinstance(kind, type)}
    ours = (kind for kind in kinds if dataclasses.is_dataclass(kind) and kind.__module__.startswith(PACKAGES))
    return sorted(ours, key=lambda kind: (kind.__module__, kind.__qualname__))


@pytest.mark.parametrize("kind", values(), ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_what_parties_hand_on_cannot_be_written_to(kind):
    fields = [f.name for f in dataclasses.fields(kind)]
    one = object.__new__(kind)
    if f"{kind.__module__}.{kind.__qualname__}" in CHANGE:
        setattr(one, fields[0], None)
        return
    for name in fields or ["anything"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, name, None)


if __name__ == "__main__":
    lines = [line for flower in (False, True) for module in modules(flower) for line in described(module)]
    TABLE.write_text("\n".join(sorted(lines)) + "\n")
