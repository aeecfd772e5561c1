"""Every promise of docs/threat-model.md names the test that shows it, and that test exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
HEADING = "## Every promise, and the test that shows it"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> list[tuple[str, str]]:
    """The rows of the table: the promise, and the cell that names tests."""
    section = PAGE.split(HEADING, 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_the_table_is_there():
    assert len(promises()) > 30


@pytest.mark.parametrize("row", promises(), ids=lambda row: row[0][:60])
def test_every_promise_names_tests_that_exist(row):
    promise, shown_by = row
    named = TEST.findall(shown_by)
    assert promise
    assert named, f"no test is named: {shown_by}"
    assert TEST.sub("", shown_by).strip(", ") == "", f"more than tests is named: {shown_by}"
    for file, test in named:
        assert test in names_in(file), f"{file} has no {test}"


def test_every_finding_of_an_adversary_stands_for_a_promise():
    named = {file for _, shown_by in promises() for file, _ in TEST.findall(shown_by)}
    rules = {path.name for path in (ROOT / "tests" / "adversaries").glob("test_*.py")}
    assert rules - {Path(file).name for file in named} == set()
