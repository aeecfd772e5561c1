"""Words in messages."""

from __future__ import annotations


def many(count: int, noun: str) -> str:
    """`1 round`, `2,000 rounds`: a number of things, of which `noun` is one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
