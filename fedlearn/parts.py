"""Work in parts: large arrays in parts that stay in the cache, and lists shared out among those who work on them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

PART = 1 << 16  # values


def shared_out(count: int, among: int) -> list[slice]:
    """Slices that cut `count` things, in order, into at most `among` parts, equally long but for the last."""
    step = max(1, -(-count // max(1, among)))
    return [slice(at, min(at + step, count)) for at in range(0, count, step)]


def in_parts(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Indexes that cut an array of this shape into parts of at most `PART` values, in order."""
    if not shape or prod(shape) <= PART:
        yield (...,)
        return
    inner = prod(shape[1:])
    if inner > PART:
        yield from ((row, *rest) for row in range(shape[0]) for rest in in_parts(shape[1:]))
    else:
        yield from ((slice(start, start + PART // inner),) for start in range(0, shape[0], PART // inner))
