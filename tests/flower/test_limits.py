"""Limits and defaults of the bridge, which tests outside cannot import without Flower."""

from __future__ import annotations

import dataclasses

import pytest

from tests.defaulted import no_longer_so, values
from tests.test_limits_page import OF_FLOWER, check


@pytest.mark.parametrize("row", OF_FLOWER, ids=lambda row: row[3])
def test_limits_of_the_bridge_are_as_the_page_says(row):
    check(row)


def test_defaults_of_the_bridge_are_those_of_the_table():
    assert no_longer_so(flower=True) == []


@pytest.mark.parametrize("kind", values(flower=True), ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_what_the_bridge_hands_on_cannot_be_written_to(kind):
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(object.__new__(kind), field.name, None)
