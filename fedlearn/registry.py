"""Things a user picks by name: `name` or `name:argument`, one line each, imported only when picked.

A new protection, strategy, partition, data set, model, attack or scenario is one file and one line in the
registry of its kind. `fedlearn list` prints these registries.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from fedlearn.errors import BadInput


@dataclass(frozen=True)
class Entry:
    """Where a named thing lives (`package.module:attribute`) and what it is, in one line."""

    target: str
    summary: str

    def load(self) -> Any:
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)


class Registry:
    """An ordered table name -> `Entry` for one kind of thing (`kind` appears in error messages)."""

    def __init__(self, kind: str, entries: dict[str, tuple[str, str]]):
        self.kind = kind
        self.entries = {name: Entry(*entry) for name, entry in entries.items()}

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for; raises `BadInput` naming the known ones."""
        if name not in self.entries:
            near = get_close_matches(name, self.entries, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadInput(f"unknown {self.kind} {name!r}: choose one of {', '.join(self.entries)}{hint}")
        return self.entries[name].load()

    def parse(self, spec: str, *context: Any) -> Any:
        """Build from `name` or `name:argument` by the class's `from_spec(argument or None, *context)`."""
        name, colon, argument = spec.partition(":")
        return self.load(name).from_spec(argument if colon else None, *context)
