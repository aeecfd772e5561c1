"""The order in which a pool is called: open, enrol, start, exchange; remember before settle."""

from __future__ import annotations

from typing import TypeVar

from fedlearn.errors import BadInput

T = TypeVar("T")


def made_by(call: str, made: T | None) -> T:
    """The result that an earlier call left behind; raises `BadInput` where there was none."""
    if made is None:
        raise BadInput(f"call the pool's {call}() before this; an Aggregator does so itself")
    return made
