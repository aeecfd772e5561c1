"""One parser for what users write as text: `name:argument` and `key=value,...`.

An argument is one value, or `key=value` entries with commas between them. A comma within parentheses separates
nothing, as in `up=10Mbit, slower=lognormal(0.5,0.5)`. Blanks around entries, keys and values do not count, and every
key stands once. The value of the first key may stand first without its key: `dirichlet:0.5` is `dirichlet:alpha=0.5`.

Which keys there are and how a value is read follows from the fields of a dataclass or the parameters of a function:

bool          true, yes, on, 1 or false, no, off, 0
int, float    a whole number; a number, which may be inf but not nan
str, Path     the text itself; a path, in which ~ is the user's home
X | None      X, or none
Literal, Enum one of its values; of an Enum its names too
tuple, list   values in parentheses, as (64,32,10)
Annotated     by the first function in its metadata: from text to value, `BadInput` for a text that it cannot read
a class       by its class method `parse`, if it has one
none at all   like its default, else a number if it looks like one
"""

from __future__ import annotations

import inspect
import math
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from fedlearn.configured import check_complete
from fedlearn.disk import at_home
from fedlearn.errors import BadInput
from fedlearn.wording import many

MISSING: Any = inspect.Parameter.empty
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Key:
    """One key: the annotation by which its value is read, its default (`MISSING`: it must be given), an example."""

    annotation: Any
    default: Any = MISSING
    example: str = ""

    def shown(self) -> str:
        """A value that could be written."""
        if self.example:
            return self.example
        plain = isinstance(self.default, bool | int | float | str | Enum) and self.default != ""
        value = self.default if plain else _example(self.annotation)
        return str(value).lower() if isinstance(value, bool) else str(getattr(value, "value", value))


Keys = Mapping[str, Key]


def construct(kind: Callable[..., Any], argument: str | None, what: str, *context: Any, **given: Any) -> Any:
    """Call a class or a function with what a user wrote: `kind(*context, **given, **settings)`.

    given: other arguments, which the user may overrule. Raises `BadInput` for a key that `kind` does not have, or
    lacks, and for a class that lacks methods. what: names the thing in errors, as in "partition dirichlet".
    """
    check_complete(kind)
    keys = dict(list(keys_of(kind).items())[len(context) :])
    written = {
        name: key for name, key in keys.items() if key.default is MISSING or _reader_of(key.annotation, key.default)
    }
    values = given | read_settings(argument, written, what)
    for name, key in keys.items():
        if name not in values and key.default is MISSING:
            raise BadInput(f"{what} needs {name}: write {what.split()[-1]}:{name}={key.shown()}")
    return kind(*context, **values)


def read_settings(argument: str | None, keys: Keys, what: str, positional: bool = True) -> dict[str, Any]:
    """The values in `key=value,...`, by name. positional: the first one may stand there without its key.

    Raises `BadInput` for an entry that is empty, unknown, repeated, without a value or with one that cannot be read.
    """
    if argument is None:
        return {}
    if not keys:
        raise BadInput(f"{what} takes no argument, it was given {argument!r}: leave it out")
    values: dict[str, Any] = {}
    for number, entry in enumerate(split_entries(argument)):
        key, equals, text = (part.strip() for part in entry.partition("="))
        if not equals and entry and positional and number == 0:
            key, text = next(iter(keys)), entry
        elif not equals and key not in keys:
            raise BadInput(f"{what} has no value in {entry!r}: {_form(keys)}")
        if key not in keys:
            raise BadInput(f"{what} has no {key!r}{did_you_mean(key, keys)}: it takes {_form(keys)}")
        if key in values:
            raise BadInput(f"{what} has {key} twice, the second time as {entry!r}: give it once")
        if not text:
            raise BadInput(f"{what} has no value for {key}: write one, as in {key}={keys[key].shown()}")
        values[key] = read_value(text, keys[key], f"{what}: {key}", f"{key}={keys[key].shown()}")
    return values


def read_value(text: str, key: Key, what: str, example: str) -> Any:
    """One value; raises `BadInput` saying what is needed. what: names it in the error; example: a whole entry."""
    try:
        return _read(text.strip(), key.annotation, key.default)
    except _Needed as needed:
        raise BadInput(f"{what} is {text!r}, {needed} is needed, as in {example}") from None


def split_entries(text: str) -> list[str]:
    """The parts between commas, without blanks around them; commas within parentheses do not separate."""
    parts, depth, begin = [], 0, 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth <= 0:
            parts.append(text[begin:place].strip())
            begin = place + 1
    return [*parts, text[begin:].strip()]


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """The known name nearest to a mistyped one, in brackets; nothing where none is near."""
    near = get_close_matches(text, [*known], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def keys_of(kind: Callable[..., Any]) -> dict[str, Key]:
    """The keys that a class (a dataclass's fields among them) or a function takes, in order."""
    called = kind.__init__ if inspect.isclass(kind) else kind
    hints = _hints(called)
    parameters = list(inspect.signature(kind).parameters.values())
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return {p.name: Key(hints.get(p.name, MISSING), p.default) for p in named}


def _hints(called: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(called, include_extras=True)
    except (NameError, TypeError):  # names that are imported for type checkers only: read by the defaults
        return {}


def _form(keys: Keys) -> str:
    """How to write entries, in words."""
    name = next(iter(keys))
    return f"{', '.join(keys)}, each once as key=value, as in {name}={keys[name].shown()}"


# Values, by annotation


class _Needed(Exception):
    """A text cannot be read; the message says what would be."""


def _read(text: str, annotation: Any, default: Any = MISSING) -> Any:
    reader = _reader_of(annotation, default)
    if reader is None:
        raise _Needed(f"something that text cannot say ({getattr(annotation, '__name__', annotation)})")
    return reader(text)


def _reader_of(annotation: Any, default: Any = MISSING) -> Callable[[str], Any] | None:
    """How to read a text as this; None for what only Python can give, as data or a model."""
    if annotation is MISSING or annotation is Any:
        return _guess if default is MISSING or default is None else _reader_of(type(default))
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return next((each for each in inside[1:] if callable(each)), None) or _reader_of(inside[0], default)
    if origin is Union or origin is types.UnionType:
        known = any(_reader_of(each) for each in inside if each is not type(None))
        return partial(_first_that_reads, annotations=inside) if known else None
    if origin is Literal:
        return partial(_chosen, choices={str(choice): choice for choice in inside})
    if origin in (tuple, list, Sequence):
        return partial(_several, origin=origin, annotations=inside)
    if hasattr(annotation, "parse"):
        return cast(Callable[[str], Any], annotation.parse)
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        by_value = {str(each.value): each for each in annotation}
        names = {each.name: each for each in annotation if each.name not in by_value}
        return partial(_chosen, choices=by_value | names)
    return SIMPLE.get(annotation)


def _first_that_reads(text: str, annotations: Sequence[Any]) -> Any:
    if type(None) in annotations and text.lower() == "none":
        return None
    wanted = []
    for annotation in annotations:
        if annotation is type(None):
            wanted.append("none")
            continue
        try:
            return _read(text, annotation)
        except _Needed as needed:
            wanted.append(str(needed))
    raise _Needed(" or ".join(wanted))


def _chosen(text: str, choices: Mapping[str, Any]) -> Any:
    if text not in choices:
        raise _Needed(f"one of {', '.join(choices)}{did_you_mean(text, choices)}")
    return choices[text]


def _several(text: str, origin: Any, annotations: Sequence[Any]) -> Any:
    if not (text.startswith("(") and text.endswith(")")):
        raise _Needed("a list in parentheses")
    parts = [part for part in split_entries(text[1:-1]) if part]
    if origin is tuple and annotations and annotations[-1] is not Ellipsis:
        if len(parts) != len(annotations):
            raise _Needed(f"a list of {many(len(annotations), 'value')} in parentheses")
        return tuple(_read(part, each) for part, each in zip(parts, annotations, strict=True))
    values = [_read(part, annotations[0] if annotations else MISSING) for part in parts]
    return values if origin is list else tuple(values)


def _bool(text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise _Needed("true or false")
    return text.lower() in TRUE


def _int(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text):
        raise _Needed("a whole number")
    try:
        return int(text)
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise _Needed("a whole number of fewer digits") from None


def _float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _Needed("a number") from None
    if math.isnan(value):
        raise _Needed("a number")
    return value


def _guess(text: str) -> Any:
    for reader in (_int, _float):
        try:
            return reader(text)
        except _Needed:
            continue
    return text


SIMPLE: dict[Any, Callable[[str], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: str,
    Path: at_home,
}
EXAMPLES: dict[Any, Any] = {bool: True, int: 2, float: 0.5, str: "text", Path: "file.txt"}


def _example(annotation: Any) -> Any:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (tuple, list, Sequence):
        return "(1,2)"
    if inside:  # the first of a union's, a literal's, or what is annotated
        return inside[0] if origin is Literal else _example(inside[0])
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return next(iter(annotation)).value
    return EXAMPLES.get(annotation, 1)
