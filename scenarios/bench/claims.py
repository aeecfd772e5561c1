"""The figures that a benchmark is judged by, as its result and its table have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def claims_of(found: Mapping[str, tuple[float, str]]) -> list[dict[str, Any]]:
    """As a result has them. found: by name the value and its unit, "" for none."""
    return [{"name": name, "value": value, "unit": unit} for name, (value, unit) in found.items()]


def table_of(claims: Iterable[dict[str, Any]]) -> list[str]:
    """The lines of a table in Markdown."""
    rows = [f"| {c['name']} | {c['value']:,.6g} {c['unit']}".rstrip() + " |" for c in claims]
    return ["| claim | value |", "|---|---|", *rows]
