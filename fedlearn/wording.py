"""Words in messages."""

from __future__ import annotations


def many(count: int, one: str, more: str = "") -> str:
    """A number of things: `1 round`, `2,000 rounds`.

    one: the word for one of them; more: for any other number, where an s is not enough (`class is`, `classes are`).
    """
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"
