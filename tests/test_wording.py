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
PACKAGES = ("fedlearn", "clients", "aggregator", "scenarios")
COUNTED = (
    "addends axes bits buckets bytes canaries channels characters checkpoints chunks ciphertexts classes "
    "clients columns cohorts decryptions digits examples features fields files groups guesses holders indices inputs "
    "integers keys labels letters lines members messages nodes numbers openers others parameters people places "
    "plaintexts points questions records releases rounds rows runs scores sequences shares slices "
    "speakers steps sums targets texts times trustees updates users values vectors weights windows words"
)
# A noun, with at most two adjectives before it: `3 valid shares`, but not `3 of the shares` and not `3 holds shares`.
THINGS = re.compile(
    r" (?:(?!(?:a|among|and|at|beside|by|for|from|have|in|of|on|or|say|that|the|to|where|with) )[a-z]*[a-rt-z] ){0,2}"
    rf"(?:{COUNTED.replace(' ', '|')})\b"
)
EXEMPT = {
    "fedlearn/crypto/keys.py {self.bits} bits": "the length of a key, which has no comma",
    "fedlearn/crypto/keys.py {self.public.bits} bits": "the length of a key",
    "fedlearn/crypto/keys.py {self._q.bit_length()} bits": "the length of a key's prime",
    "fedlearn/crypto/vector.py {start + bad} shares": "a verb",
    "fedlearn/crypto/vector.py {self.public.bits} bits": "the length of a key",
    "fedlearn/nn/normalization.py {axes} axes": "a choice, such as 2 or 3",
    "fedlearn/optim/optimizer.py {sizes} parameters": "a list, one for each group",
    "scenarios/digits.py {updates / history.seconds} client updates": "a rate",
    "fedlearn/testing/protections.py {lengths} bytes": "a dict of what was sent",
}


def test_one_is_one_and_thousands_have_commas():
    assert [many(count, "round") for count in (0, 1, 2, 2000)] == ["0 rounds", "1 round", "2 rounds", "2,000 rounds"]
    assert [many(count, "axis has", "axes have") for count in (0, 1, 2)] == ["0 axes have", "1 axis has", "2 axes have"]


def counted_plainly(tree: ast.AST) -> Iterator[str]:
    """Each number of things that does not go through `many`.

    Constants are known where they are written. What has decimals, or is shown as it was given, is no count.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for number, text in pairwise(node.values):
                if isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant):
                    form = ast.unparse(number.format_spec)[2:-1] if number.format_spec else ""
                    whole = number.conversion == -1 and form in ("", ",", ".0f", ",.0f")
                    things = THINGS.match(str(text.value))
                    whole &= not ast.unparse(number.value).startswith("many(")
                    names = {one.id for one in ast.walk(number.value) if isinstance(one, ast.Name)} - {"len"}
                    if things and whole and not all(map(str.isupper, names)):
                        yield f"{{{ast.unparse(number.value)}}}{things[0]}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # of a log record
            yield from (found[0] for found in re.finditer(rf"%d{THINGS.pattern}", node.value))


@pytest.mark.parametrize(("source", "said"), [
    ('f"{len(x):,} rows of {wide} numbers"', ["{len(x)} rows", "{wide} numbers"]),
    ('f"{n} valid shares"', ["{n} valid shares"]), ('"round %d of %d: %d clients"', ["%d clients"]),
    ("f'{loss:.2f} rows, {n!s:.20} rows, {many(n, \"row\")} of {MOST} rows, {n} of the rows, {name} holds files'", []),
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
