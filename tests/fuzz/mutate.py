"""Damage to bytes, as accidents and attackers make it: the same from the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

LONGEST = 1 << 17  # bytes; what is damaged further does not grow beyond
_EDGES = (0, 1, 2, 127, 128, 255)


def damaged(samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> bytes:
    """One sample after 1 to 5 changes. tokens: byte strings that mean something to the reader."""
    data = bytearray(rng.choice(samples))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        rng.choice(_CHANGES)(data, samples, tokens, rng)
    return bytes(data[:LONGEST])


def _place(data: bytearray, rng: random.Random) -> int:
    """Anywhere, and every other time near the front, where headers are."""
    return rng.randrange(1 + (min(64, len(data)) if rng.random() < 0.5 else len(data)))


def _slice(data: Sequence[int], rng: random.Random) -> slice:
    start = rng.randrange(len(data) + 1)
    return slice(start, start + rng.choice((1, 2, 4, 8, 16, 64, 1000)))


Change = Callable[[bytearray, Sequence[bytes], Sequence[bytes], random.Random], None]


def _flip(data: bytearray, samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    data[at : at + 1] = bytes(byte ^ (1 << rng.randrange(8)) for byte in data[at : at + 1])


def _byte(data: bytearray, samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    data[at : at + 1] = bytes([rng.choice((*_EDGES, rng.randrange(256)))])


def _number(data: bytearray, samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
    """A whole number of 1 to 8 bytes, likely an extreme one, where another may have been."""
    width = rng.choice((1, 2, 4, 8))
    top = 1 << (8 * width)
    number = rng.choice((0, 1, 2, top - 1, top // 2, top // 2 - 1, rng.randrange(top), len(data) % top))
    at = _place(data, rng)
    data[at : at + width] = number.to_bytes(width, rng.choice(("big", "little")))


def _cut(data: bytearray, samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
    del data[_slice(data, rng)]


def _end(data: bytearray, samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _insert(data: bytearray, samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8, 100)))


def _repeat(data: bytearray, samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
    part = bytes(data[_slice(data, rng)])
    at = _place(data, rng)
    data[at:at] = part * min(rng.choice((1, 2, 1000)), 1 + LONGEST // (1 + len(part)))


def _splice(data: bytearray, samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(samples)
    at, start = _place(data, rng), rng.randrange(len(other) + 1)
    data[at:] = other[start:]


def _token(data: bytearray, samples: Sequence[bytes], tokens: Sequence[bytes], rng: random.Random) -> None:
    at, token = _place(data, rng), rng.choice(tokens) if tokens else bytes(rng.choice((1, 8, 5000)))
    data[at : at + rng.choice((0, 1, len(token)))] = token


_CHANGES: tuple[Change, ...] = (_flip, _flip, _byte, _number, _number, _cut, _end, _insert, _repeat, _splice, _token)
