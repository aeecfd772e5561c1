"""Lists of big integers to and from fixed-width little-endian bytes, in one go through GMP."""

from __future__ import annotations

import gmpy2
from gmpy2 import mpz


def width_of(bits: int) -> int:
    """Bytes that hold so many bits."""
    return (bits + 7) // 8


def integers_to_bytes(integers: list[mpz], width: int) -> bytes:
    """`width` bytes each, lowest byte first; every integer must lie in [0, 256^width)."""
    if not integers:
        return b""
    packed: bytes = gmpy2.pack(integers, 8 * width).to_bytes(width * len(integers), "little")
    return packed


def integers_from_bytes(data: bytes | memoryview, width: int) -> list[mpz]:
    """The inverse of `integers_to_bytes`; the length of `data` must be a multiple of `width`."""
    if not data:
        return []
    integers: list[mpz] = gmpy2.unpack(mpz.from_bytes(data, "little"), 8 * width)  # stops after the last that is not 0
    return integers + [mpz(0)] * (len(data) // width - len(integers))
