"""Words in messages."""

from __future__ import annotations


def many(count: int, noun: str) -> str:
    """A number of things: `1 round`, `2,000 rounds`. noun: the word for one of them."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
