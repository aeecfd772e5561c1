"""The result of a benchmark, and the figures that it is judged by, as its result and its table have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from scenarios.bench.versions import machine


def result_of(
    benchmark: str, libraries: Iterable[str], rows: Iterable[Any], found: Mapping[str, tuple[float, str]], **beside: Any
) -> dict[str, Any]:
    """The result of a benchmark: the machine and its libraries, what it measured, and the claims on that."""
    about = {"benchmark": benchmark, "machine": machine(libraries), **beside}
    return {**about, "rows": [asdict(row) for row in rows], "claims": claims_of(found)}


def claims_of(found: Mapping[str, tuple[float, str]]) -> list[dict[str, Any]]:
    """As a result has them. found: by name the value and its unit, "" for none."""
    return [{"name": name, "value": value, "unit": unit} for name, (value, unit) in found.items()]


def table_of(claims: Iterable[dict[str, Any]]) -> list[str]:
    """The lines of a table in Markdown."""
    rows = [f"| {c['name']} | {c['value']:,.6g} {c['unit']}".rstrip() + " |" for c in claims]
    return ["| claim | value |", "|---|---|", *rows]
