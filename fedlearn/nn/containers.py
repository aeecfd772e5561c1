"""Modules and parameters in rows and by name, with PyTorch's methods. Plain lists and dicts on a Module do as well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from fedlearn.checked import in_order
from fedlearn.errors import BadInput
from fedlearn.nn.functional.arguments import whole
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter


class _Row(Module):
    """Numbered parts: they are the attributes "0", "1", ..."""

    holds: type[Any] = Module

    def _items(self) -> list[Any]:
        return [part for part in vars(self).values() if isinstance(part, self.holds)]

    def _taken(self, part: Any) -> Any:
        """A part as it is held; `BadInput` for another kind."""
        if not isinstance(part, self.holds):
            wanted = self.holds.__name__
            raise BadInput(f"{type(self).__name__} holds {wanted}s, not a {type(part).__name__}: make it a {wanted}")
        return part

    def _keep(self, name: str, part: Any) -> None:
        setattr(self, name, self._taken(part))

    def _at(self, index: Any) -> str:
        names = [name for name, part in vars(self).items() if isinstance(part, self.holds)]
        number = whole(index, "index")
        if not -len(names) <= number < len(names):
            raise IndexError(f"{type(self).__name__} of {len(names)} has no number {number}")
        return names[number]

    def append(self, part: Any) -> Self:
        self._keep(str(len(self)), part)
        return self

    def extend(self, parts: Iterable[Any]) -> Self:
        """Append several parts; `BadInput`, and none is kept, where one is of another kind."""
        for part in [self._taken(part) for part in in_order(parts, f"{self.holds.__name__}s")]:
            self.append(part)
        return self

    def insert(self, index: int, part: Any) -> Self:
        """Put a part before number `index`; those from there on move up, and all are numbered anew."""
        place = whole(index, "index")
        *parts, last = self.append(part)
        parts.insert(place, last)
        self._renew(parts)
        return self

    def pop(self, index: int) -> Any:
        """Take part number `index` out and return it; those behind it move down, and all are numbered anew."""
        part = getattr(self, self._at(index))
        del self[index]
        return part

    def __delitem__(self, index: int | slice) -> None:
        parts = self._items()
        del parts[index]
        self._renew(parts)

    def _renew(self, parts: list[Any]) -> None:
        for name in [name for name, part in vars(self).items() if isinstance(part, self.holds)]:
            delattr(self, name)
        self.extend(parts)

    def __add__(self, parts: Iterable[Any]) -> Self:
        return type(self)._of([*self._items(), *in_order(parts, f"{self.holds.__name__}s")])

    def __iadd__(self, parts: Iterable[Any]) -> Self:
        return self.extend(parts)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items())

    def __len__(self) -> int:
        return len(self._items())

    def __getitem__(self, index: Any) -> Any:
        """One part by number; a slice is a container of its kind, with these parts."""
        if isinstance(index, slice):
            return type(self)._of(self._items()[index])
        return getattr(self, self._at(index))

    def __setitem__(self, index: int, part: Any) -> None:
        self._keep(self._at(index), part)

    @classmethod
    def _of(cls, parts: list[Any]) -> Self:
        return cls(parts)


class Sequential(_Row):
    """Modules run one after the other; they are named "0", "1", ... or as in the mapping given."""

    stackable = True
    replayable = True

    def __init__(self, *modules: Any):
        given = modules[0] if len(modules) == 1 and isinstance(modules[0], Mapping) else None
        for name, module in given.items() if given is not None else enumerate(modules):
            self._keep(str(name), module)

    def forward(self, input: Any) -> Any:
        for module in self._items():
            input = module(input)
        return input

    @classmethod
    def _of(cls, parts: list[Any]) -> Self:
        return cls(*parts)


class ModuleList(_Row):
    """A list of Modules, which its owner runs as it likes."""

    stackable = True

    def __init__(self, modules: Iterable[Module] = ()):
        self.extend(modules)


class ParameterList(_Row):
    """A list of Parameters; Tensors and arrays become Parameters."""

    stackable = True
    holds = Parameter

    def __init__(self, values: Iterable[Any] = ()):
        self.extend(values)

    def _taken(self, part: Any) -> Any:
        return part if isinstance(part, Parameter) else Parameter(part)


class ModuleDict(Module):
    """Modules by name, in the order in which they came."""

    stackable = True

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()):
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        try:
            named = dict(modules)
        except (TypeError, ValueError):
            raise BadInput(
                f"{modules!r:.60} are no modules by name: give a dict, or pairs of a name and a module"
            ) from None
        for name, module in named.items():
            self._check(name, module)
        for name, module in named.items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        self._check(name, module)
        setattr(self, name, module)

    def _check(self, name: str, module: Module) -> None:
        """Raise `BadInput` for what is no module, or no name of one."""
        if not isinstance(module, Module):
            raise BadInput(f"ModuleDict holds Modules, not a {type(module).__name__}: wrap it in a Module")
        if not isinstance(name, str) or not name or "." in name or hasattr(type(self), name) or name == "training":
            raise BadInput(f"ModuleDict cannot name a module {name!r:.60}: give text without dots, no method's name")

    def __getitem__(self, name: str) -> Module:
        return dict(self.items())[name]

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def pop(self, name: str) -> Module:
        module = self[name]
        delattr(self, name)
        return module

    def clear(self) -> None:
        for name in list(self.keys()):
            delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in dict(self.items())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(dict(self.items()))

    def keys(self) -> Iterator[str]:
        return (name for name, _ in self.named_children())

    def values(self) -> Iterator[Module]:
        return self.children()

    def items(self) -> Iterator[tuple[str, Module]]:
        return self.named_children()
