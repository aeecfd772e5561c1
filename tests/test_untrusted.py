"""Files of others as plain data: what is too deep for whoever reads it afterwards is refused at the door."""

from __future__ import annotations

import json

import pytest

from fedlearn.untrusted import DEEPEST, from_json


def nested(depth: int, kind: str) -> str:
    start, end = ('{"a":', "}") if kind == "object" else ("[", "]")
    return start * depth + "1" + end * depth


@pytest.mark.parametrize("kind", ["list", "object"])
@pytest.mark.parametrize("depth", [DEEPEST + 1, 900, 100_000])
def test_what_is_too_deep_is_a_value_error(kind, depth):
    with pytest.raises(ValueError, match=f"within more than {DEEPEST} others"):
        from_json(nested(depth, kind))


@pytest.mark.parametrize("value", [1, None, "text", [], {}, {"a": [1, {"b": []}]}])
def test_anything_else_is_what_it_says(value):
    assert from_json(json.dumps(value)) == value


@pytest.mark.parametrize("kind", ["list", "object"])
def test_the_deepest_that_is_allowed_is_read(kind):
    assert from_json(nested(DEEPEST, kind)) == json.loads(nested(DEEPEST, kind))
