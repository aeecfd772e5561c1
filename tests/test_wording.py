"""Numbers in texts: one thing is said as one thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from fedlearn.wording import many

ROOT = Path(__file__).parents[1]
PACKAGES = ("fedlearn/datasets",)
COUNTED = (
    "addends answers axes bits buckets bytes characters ciphertexts classes clients columns cohorts decryptions "
    "digits examples features fields files groups holders indices inputs keys labels letters lines messages names "
    "nodes numbers openers others people places plaintexts points rounds rows runs shares speakers steps sums targets "
    "texts times trustees updates users values vectors weights windows words"
)
# A noun, with at most one adjective before it: `3 valid shares`, but not `3 of the shares`.
THINGS = re.compile(
    r" (?:(?!(?:a|and|at|by|for|from|in|of|on|or|that|the|to|with) )[a-z]*[a-rt-z] )?"  # verbs end in s
    rf"(?:{COUNTED.replace(' ', '|')})\b"
)
EXEMPT = {
    "fedlearn/datasets/dense.py {shape} numbers": "a shape, such as 8 x 8",
}


def test_one_is_one_and_thousands_have_commas():
    assert [many(count, "round") for count in (0, 1, 2, 2000)] == ["0 rounds", "1 round", "2 rounds", "2,000 rounds"]
    assert [many(count, "axis has", "axes have") for count in (0, 1, 2)] == ["0 axes have", "1 axis has", "2 axes have"]


def counted_plainly(tree: ast.AST) -> Iterator[str]:
    """Each number of things that does not go through `many`; a constant is known where it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for number, text in pairwise(node.values):
                if isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant):
                    things = THINGS.match(str(text.value))
                    names = {one.id for one in ast.walk(number.value) if isinstance(one, ast.Name)} - {"len"}
                    if things and not all(map(str.isupper, names)):
                        yield f"{{{ast.unparse(number.value)}}}{things[0]}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # of a log record
            yield from (found[0] for found in re.finditer(rf"%d{THINGS.pattern}", node.value))


@pytest.mark.parametrize(("source", "said"), [
    ('f"{len(x):,} rows of {wide} numbers"', ["{len(x)} rows", "{wide} numbers"]),
    ('f"{n} valid shares"', ["{n} valid shares"]), ('"round %d of %d: %d clients"', ["%d clients"]),
    ("f'{many(n, \"row\")} of {MOST} rows, {n} of the rows, {name} holds files'", []),
])  # fmt: skip
def test_numbers_of_things_are_found(source, said):
    assert list(counted_plainly(ast.parse(source))) == said


def test_every_number_of_things_can_be_one():
    found = {
        f"{path.relative_to(ROOT)} {said}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for said in counted_plainly(ast.parse(path.read_text()))
    }
    assert found == set(EXEMPT)
