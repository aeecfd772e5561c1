"""From JSON, JSON lines and LEAF's JSON to rows of fields."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from fedlearn.datasets.files.reading import Found
from fedlearn.datasets.files.tables import Nested, Table
from fedlearn.datasets.letters import beginning
from fedlearn.errors import DataError
from fedlearn.wording import many

TWEET = {6: 4}  # of sent140's columns id, date, query, user, text, split, the text
UNFOLDED = 3  # objects in objects whose values become columns


def is_json(text: str) -> bool:
    """True where a text begins like JSON objects or arrays."""
    start = text[:200].lstrip()
    return start.startswith("{") or (start.startswith("[") and start[1:].lstrip().startswith(("{", "[", "]")))


def json_in(text: str, name: str) -> Any:
    """One JSON value, or those of one a line with the numbers of these lines as {line: value}."""
    try:
        return _parsed(text)
    except RecursionError:
        raise DataError(f"{name}: its JSON is nested too deep: give an array of objects") from None
    except ValueError as error:
        lines = {n: line for n, line in enumerate(text.split("\n"), 1) if line.strip()}
        if len(lines) < 2 or not _is_value(next(iter(lines.values()))):
            raise DataError(f"{name} is not JSON ({error}): mend it, or give a table") from None
    values = {}
    for number, line in lines.items():
        try:
            values[number] = _parsed(line)
        except (ValueError, RecursionError) as error:
            values[number] = error
    return values


def _parsed(text: str) -> Any:
    """A JSON value; raises `ValueError` for what is none, and for an object that has a key twice."""
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {beginning(twice, 40)!r} stands twice in one object")
    return found


def _is_value(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def is_leaf(value: Any) -> bool:
    """True for LEAF's form: {"users": [...], "num_samples": [...], "user_data": {user: {"x": [...], "y": [...]}}}."""
    return isinstance(value, dict) and isinstance(value.get("user_data"), dict)


def leaf_examples(value: Mapping[str, Any], name: str) -> list[tuple[str, Any, Any]]:
    """(user, x, y) of each example; raises `DataError` for a user without x and y of one length."""
    examples = []
    for user, data in value["user_data"].items():
        x, y = (data.get(key) for key in ("x", "y")) if isinstance(data, dict) else (None, None)
        if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
            raise DataError(
                f"{name}: user {beginning(user, 40)!r} has no lists x and y of one length: write them as LEAF does"
            )
        examples += [(user, one, label) for one, label in zip(x, y, strict=True)]
    if not examples:
        raise DataError(f"{name} is in LEAF's form and holds no example: give one with messages")
    return examples


def leaf_messages(value: Mapping[str, Any], name: str) -> Found:
    """Messages of LEAF's sent140: x is a text, or a list of columns with the text in it."""
    found = Found(unit="example")
    rows = leaf_examples(value, name)
    texts = [_text_of(x) for _, x, _ in rows]
    found.where = [i for i, text in enumerate(texts, 1) if text is not None]
    found.bad = {i: "x is neither a text nor a list of texts" for i, text in enumerate(texts, 1) if text is None}
    found.texts = [text for text in texts if text is not None]
    found.users = [rows[i - 1][0] for i in found.where if isinstance(i, int)]
    found.labels = [as_field(rows[i - 1][2]) for i in found.where if isinstance(i, int)]
    return found


def _text_of(x: Any) -> str | None:
    if isinstance(x, str):
        return x
    if isinstance(x, list) and x and all(isinstance(value, str) for value in x):
        found: str | None = x[TWEET[len(x)]] if len(x) in TWEET else max(x, key=len)
        return found
    return None


def table_of(value: Any, name: str, found: Found) -> Table:
    """The rows of an array of objects, an object of arrays, or an object a line; `DataError` for another value."""
    found.unit = "item"
    if isinstance(value, dict) and value and all(isinstance(key, int) for key in value):
        found.unit = "line"
        return _rows_of(value, name, found)
    if isinstance(value, list):
        return _rows_of(dict(enumerate(value, 1)), name, found)
    if isinstance(value, dict):
        columns = {key: _listed(column) for key, column in value.items()}
        lengths = {len(column) for column in columns.values() if column is not None}
        if columns and None not in columns.values() and len(lengths) == 1:
            rows = [list(map(as_field, row)) for row in zip(*(c or () for c in columns.values()), strict=True)]
            return Table(rows, range(1, len(rows) + 1), list(columns), found.unit)
        if {"columns", "data"} <= set(value) <= {"columns", "data", "index"} and isinstance(value["data"], list):
            return _split_table(value, name, found)
        inner = [column for column in value.values() if isinstance(column, list)]
        if len(inner) == 1:  # {"data": [...]}
            return table_of(inner[0], name, found)
    raise DataError(f"{name}: its JSON is no table: give an array of objects, an object of arrays, or an object a line")


def _split_table(value: Mapping[str, Any], name: str, found: Found) -> Table:
    """{"columns": [...], "data": [[...], ...]}, as pandas writes with orient="split"."""
    header = list(map(as_field, value["columns"])) if isinstance(value["columns"], list) else []
    rows = dict(enumerate(value["data"], 1))
    good = {n: row for n, row in rows.items() if isinstance(row, list) and len(row) == len(header)}
    found.bad |= {n: f"no list of {many(len(header), 'value')}" for n in rows if n not in good}
    if not good:
        raise DataError(f"{name} holds no message: its JSON has columns, and no row that fits them")
    return Table([list(map(as_field, row)) for row in good.values()], list(good), header, found.unit)


def _listed(column: Any) -> list[Any] | None:
    """A column of an object of arrays; pandas writes {"0": ..., "1": ...}."""
    if isinstance(column, dict):
        return list(column.values())
    return column if isinstance(column, list) else None


def _rows_of(objects: Mapping[int, Any], name: str, found: Found) -> Table:
    if not objects:
        raise DataError(f"{name} holds no message: its JSON is an empty array")
    if all(isinstance(value, list) for value in objects.values()):
        return Table([list(map(as_field, row)) for row in objects.values()], list(objects), None, found.unit)
    good = {number: _flat(value) for number, value in objects.items() if isinstance(value, dict) and value}
    found.bad |= {n: f"no JSON object ({_problem(v)})" for n, v in objects.items() if n not in good}
    header = list(dict.fromkeys(key for value in good.values() for key in value))
    rows = [[as_field(value.get(key)) for key in header] for value in good.values()]
    return Table(rows, list(good), header, found.unit)


def _flat(value: Mapping[str, Any], depth: int = UNFOLDED) -> dict[str, Any]:
    """An object whose inner objects' values stand in it, {"a": {"b": 1}} as {"a.b": 1}."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner and depth:
            found |= {f"{key}.{name}": part for name, part in _flat(inner, depth - 1).items()}
        else:
            found[key] = inner
    return found


def _problem(value: Any) -> str:
    return beginning(str(value), 60) if isinstance(value, Exception) else beginning(repr(value), 40)


def as_field(value: Any) -> str:
    """A value as a field of a table. A list of texts, as dialogues have, becomes lines; bytes are read as UTF-8."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):  # as pandas has what is missing
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return Nested(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n".join(value)
    return Nested(value) if isinstance(value, list | dict | tuple) else str(value)
