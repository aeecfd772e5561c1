"""Things that a user picks by name: `NAME`, or a class of the user's own: `package.module:Class` or `file.py:Class`.

A new protection, strategy, partition, data set, model, attack or scenario is one file and one line in the registry of
its kind. It need not be in this project: `Registry.add` names a class in a running program, and an entry point of the
group `fedlearn.KIND` (for example `fedlearn.strategy`) names one in an installed package. `fedlearn list` prints all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

from fedlearn.disk import at_home
from fedlearn.errors import BadInput
from fedlearn.spec import construct, did_you_mean

OURS = ("fedlearn", "clients", "aggregator", "scenarios")
FILES = "fedlearn_file_"  # how the names of modules begin that were read from a user's file
_known: WeakValueDictionary[str, Any] = WeakValueDictionary()  # classes that were asked for their place
_brought: dict[str, Any] = {}  # classes that came from the parent process
_may_import: ContextVar[bool] = ContextVar("may_import", default=True)


@dataclass(frozen=True)
class Entry:
    """The place of a named thing (`package.module:attribute` or `file.py:attribute`), and one line about it."""

    target: str
    summary: str

    def load(self) -> Any:
        return find(self.target)


class Registry:
    """An ordered table name -> `Entry` for one kind of thing (`kind` appears in error messages).

    bases: users derive a class of theirs from one of these, each `package.module:Class`; none where functions or values
    are named.
    """

    def __init__(self, kind: str, entries: Mapping[str, tuple[str, str]], *bases: str):
        self.kind, self._bases = kind, bases
        self._ours = {name: Entry(*entry) for name, entry in entries.items()}

    def __repr__(self) -> str:
        return f"<Registry, by {self.kind}: {', '.join(self.entries)}>"

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """All that is named: ours, and what installed packages bring and `add` adds, under other names."""
        points = entry_points(group=f"fedlearn.{self.kind.replace(' ', '_')}")
        brought = {p.name: Entry(p.value, f"from package {p.dist.name}" if p.dist else "") for p in points}
        return self._ours | {name: entry for name, entry in brought.items() if name not in self._ours}

    def add(self, name: str, target: str | type, summary: str = "") -> None:
        """Name a thing of your own for this process; raises `BadInput` for a name that is taken or no name.

        target: the class, or where it is: `package.module:Class` or `file.py:Class`.
        """
        if not name or set(name) & set(":,= "):
            raise BadInput(f"{self.kind} name {name!r}: give one without blanks, colons, commas and equal signs")
        target = target if isinstance(target, str) else target_of(target)
        if name in self.entries and self.entries[name].target != target:
            raise BadInput(f"{self.kind} {name!r} is {self.entries[name].target} already: choose another name")
        self.entries[name] = Entry(target, summary)

    def load(self, name: str) -> Any:
        """The object that a name or a `module:Class` refers to; raises `BadInput` naming the known ones.

        Raises `BadInput` also for what is no class of the registry's kind, and for an argument behind the name.
        """
        found, argument = self._split(name)
        if argument is not None:
            raise BadInput(
                f"{self.kind} {self.split(name)[0]} takes no argument, it was given {argument!r}: leave it out"
            )
        return found

    def parse(self, spec: str, *context: Any) -> Any:
        """Build from `name`, `name:argument`, or the same with `module:Class` in the place of the name.

        The class does it, `from_spec(argument or None, *context)`, or where it has no such method its parameters say
        how to read the argument (`fedlearn.spec.construct`, without the context).
        """
        kind, argument = self._split(spec)
        if hasattr(kind, "from_spec"):
            return kind.from_spec(argument, *context)
        return construct(kind, argument, f"{self.kind} {self.split(spec)[0]}")

    def split(self, spec: str) -> tuple[str, str | None]:
        """The name, or the `module:Class`, at the beginning of a spec, and what follows its colon (None: nothing)."""
        if not isinstance(spec, str):
            raise BadInput(f"{self.kind} is {spec!r:.60}: give a name, as text")
        name, colon, rest = spec.partition(":")
        if name in self._ours or not colon or name in self.entries or not is_place(name):
            return name, rest if colon else None
        qualified, colon, argument = rest.partition(":")
        return f"{name}:{qualified}", argument if colon else None

    def _split(self, spec: str) -> tuple[Any, str | None]:
        name, argument = self.split(spec)
        if name in self._ours:
            return self._ours[name].load(), argument
        if name in self.entries:
            return self._checked(name, self.entries[name].load()), argument
        if ":" in name:
            return self._checked(name, find(name)), argument
        hint = f" (which class? {name}:CLASS)" if name.endswith(".py") else did_you_mean(name, self.entries)
        raise BadInput(
            f"unknown {self.kind} {name!r}{hint}: choose one of {', '.join(self.entries)}, or give file.py:Class"
        )

    def _checked(self, name: str, found: Any) -> Any:
        """A thing that is not ours, if it is of this kind."""
        if self._bases and not (isinstance(found, type) and issubclass(found, tuple(map(find, self._bases)))):
            wanted = " or ".join(base.replace(":", ".") for base in self._bases)
            raise BadInput(f"{name} is no {self.kind}: give a class derived from {wanted}")
        return found


def find(target: str) -> Any:
    """The class or function at `package.module:name` or `file.py:name`.

    The code there is run: give only what you trust. Raises `BadInput` where it cannot be found or imported.
    """
    if target in _brought:
        return _brought[target]
    place, _, name = target.rpartition(":")
    found: Any = None
    if target in _known and ("<locals>" in name or place == "__main__"):
        return _known[target]  # a notebook may have another class of that name by now
    if not _may_import.get() and not _is_loaded(place):
        raise _not_trusted(place)
    try:
        found = _module_of_file(at_home(place)) if place.endswith(".py") else import_module(place)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        why = f"the file has {_classes(found)}" if isinstance(found, ModuleType) and place.endswith(".py") else error
        raise BadInput(f"no {name or 'name'!r} at {place!r}: {why}{_shadowed(place)}") from error
    return found


def _classes(module: ModuleType) -> str:
    """The classes that a file defines, in words."""
    named = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    return ", ".join(named) or "no class"


def target_of(kind: type) -> str:
    """The name by which `find` finds a class again; in `__main__` for classes of a script or a notebook."""
    module = sys.modules.get(kind.__module__)
    place = module.__file__ if kind.__module__.startswith(FILES) and module is not None else kind.__module__
    target = f"{place}:{kind.__qualname__}"
    _known[target] = kind
    return target


def bring(target: str, thing: Any) -> None:
    """Have `find` give this for `target` from now on: a class that came from the parent process."""
    _brought[target] = thing


@contextmanager
def importing_nothing() -> Iterator[None]:
    """Meanwhile `find` imports nothing but our own packages: for names that stand in a file of others."""
    token = _may_import.set(False)
    try:
        yield
    finally:
        _may_import.reset(token)


def trust(place: str) -> None:
    """Import a module or `file.py` of the user's own, so that a file of others may name classes in it.

    Raises `BadInput` where it cannot be imported.
    """
    try:
        _module_of_file(at_home(place)) if place.endswith(".py") else import_module(place)
    except (ImportError, ValueError) as error:
        raise BadInput(f"{place} cannot be imported: {error}; give package.module or file.py") from None


def _not_trusted(place: str) -> BadInput:
    return BadInput(
        f"{place} is named by a file of others, and no code is run because of that: "
        f"import it first yourself, or where it is yours give --trust {place}, and to a run --model {place}:CLASS"
    )


def _is_loaded(place: str) -> bool:
    """True where finding something there runs no code but ours: files are looked at when they are read."""
    return place in sys.modules or place.partition(".")[0] in OURS or place.endswith(".py")


def is_place(name: str) -> bool:
    """True where what stands before a colon may be a module or a file, rather than a name with an argument."""
    return name.endswith(".py") or "." in name or name == "__main__"


def _module_of_file(path: Path) -> ModuleType:
    """The module that a file is, read once for each version of its text."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}): give a Python file, as in file.py:Class") from None
    path = path.resolve()
    name = f"{FILES}{sha256(bytes(path) + text).hexdigest()[:16]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if not _may_import.get():
        raise _not_trusted(str(path))
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise BadInput(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _shadowed(place: str) -> str:
    """Says which file was found where a folder or file of the user's has the name of one of our packages."""
    package = place.partition(".")[0]
    module = sys.modules.get(package)
    where = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if package not in OURS or where is None or _home(where) == _home(__file__):
        return ""
    return f" ({package} at {where} is not fedlearn's: rename it, or start Python in another folder)"


def _home(file: str) -> Path:
    """The folder in which the package of a file, or of a package's folder, lies."""
    path = Path(file).resolve()
    return path.parent.parent if path.suffix else path.parent
