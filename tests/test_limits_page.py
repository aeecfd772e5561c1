"""The page of limits says what the code has."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "limits.md"
ROW = re.compile(r"^\| (.+) \| ([\d, ]+) \| `([\w.]+)\.([A-Z_]+)(?:\[\"(\w+)\"\])?` \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))
OF_FLOWER = [row for row in ROWS if ".flower" in row[2]]  # tests/flower reads these, which Flower's environment has


def check(row: tuple[str, ...]) -> None:
    """The code has the numbers of this row."""
    what, numbers, module, name, key = row
    limit = getattr(import_module(module), name)
    limit = limit[key] if key else limit
    found = limit if isinstance(limit, tuple) else (limit,)
    assert found == tuple(int(number.replace(",", "")) for number in numbers.split(", ")), what


def test_every_row_of_the_page_is_read():
    headings = 2 * PAGE.read_text(encoding="utf-8").count("## ")
    assert len(ROWS) + headings == sum(line.startswith("|") for line in PAGE.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("row", [row for row in ROWS if row not in OF_FLOWER], ids=lambda row: ".".join(row[2:4]))
def test_limits_are_as_the_page_says(row):
    check(row)
