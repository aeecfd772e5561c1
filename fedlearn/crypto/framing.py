"""A digest at the end of a byte string, which detects damage; against forgery there are signatures."""

from __future__ import annotations

import hashlib

from fedlearn.wording import many

DIGEST_BYTES = 16


def add_digest(body: bytes) -> bytes:
    """`body` followed by its digest."""
    return body + _digest(body)


def strip_digest(data: bytes, what: str, error: type[Exception]) -> memoryview:
    """The body of `add_digest`'s result; raises `error`, which names `what`, if the digest does not fit."""
    body = memoryview(data)[: max(0, len(data) - DIGEST_BYTES)]
    if _digest(body) != data[len(body) :]:
        raise error(f"{what} of {many(len(data), 'byte')} does not match its digest: damaged or truncated")
    return body


def _digest(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()
