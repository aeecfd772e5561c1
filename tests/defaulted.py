"""The table tests/defaults.txt: defaults of calls, what a class says of itself, and each module's constants.

A default that changes is a change for all who leave it out, and the aggregator goes by what a protection or a rule says
of itself. Constants are limits, lengths of texts, seconds of patience. So none of them changes by the way: change the
line too, and say it in the CHANGELOG. `python -m tests.defaulted` writes the table anew, with what is new: in Flower's
environment the lines of the bridge, in others the rest.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

TABLE = Path(__file__).with_name("defaults.txt")
PACKAGES = ("fedlearn.crypto", "fedlearn.secure", "fedlearn.protocol", "clients", "aggregator")
PLAIN = (bool, int, float, str, bytes, type(None))


def modules(flower: bool = False) -> Iterator[ModuleType]:
    """All modules of the rooms; those that need Flower only where asked for."""
    for package in map(importlib.import_module, PACKAGES):
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if (".flower" in found.name) == flower and not found.name.endswith("selection"):  # needs numba
                yield importlib.import_module(found.name)


def values(flower: bool = False) -> list[type]:
    """The dataclasses of the rooms; those that need Flower, or the others."""
    kinds = {kind for module in modules(flower) for kind in vars(module).values() if isinstance(kind, type)}
    ours = {k for k in kinds if dataclasses.is_dataclass(k) and k.__module__.startswith(PACKAGES)}
    rooms = {kind for kind in ours if (".flower" in kind.__module__) == flower}
    return sorted(rooms, key=lambda kind: (kind.__module__, kind.__qualname__))


def described(module: ModuleType) -> Iterator[str]:
    """A line for each public default of a call, for what a class says of itself, and for each constant."""
    for name in sorted(_constants(module)):
        if _is_plain(value := getattr(module, name)):
            yield f"{module.__name__}.{name} = {_shown(value)}"
    for name, value in vars(module).items():
        if getattr(value, "__module__", "") != module.__name__ or name.startswith("_"):
            continue
        elif inspect.isclass(value):
            yield from _of_class(f"{module.__name__}.{name}", value)
        elif inspect.isroutine(value):
            yield from _defaults(f"{module.__name__}.{name}", value)


def _constants(module: ModuleType) -> Iterator[str]:
    """The names in capitals that are given a value in this module, not imported. Numbers of errors are the system's."""
    for statement in ast.parse(inspect.getsource(module)).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and "errno." not in ast.unparse(statement):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
            yield from (name for name in names if name.isupper())


def _of_class(name: str, kind: type) -> Iterator[str]:
    fields = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    if fields and kind.__eq__ is object.__eq__:
        yield f"{name} equals itself only"
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
    found = {line for module in modules(flower) for line in described(module)}
    return [line for line in _written(flower) if line not in found]


def _written(flower: bool) -> list[str]:
    """The lines of the table that are of the rooms that need Flower, or of the others."""
    return [line for line in TABLE.read_text().splitlines() if (".flower." in line.split("(")[0]) == flower]


if __name__ == "__main__":
    flower = find_spec("flwr") is not None  # its environment lacks what other rooms need, and the other way about
    lines = {*_written(not flower), *(line for module in modules(flower) for line in described(module))}
    TABLE.write_text("\n".join(sorted(lines)) + "\n")
