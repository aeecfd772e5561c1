"""Echoes: what a trustee signs before it helps to open a sum, so that no two sums of one round are opened."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping

from fedlearn.crypto import EncryptedVector
from fedlearn.crypto.signing import PUBLIC_BYTES, SIGNATURE_BYTES, check_signature
from fedlearn.errors import CryptoKeyError, OpeningRefused, ProtocolError
from fedlearn.protocol import RunPlan, Step
from fedlearn.wording import many

RECORD = struct.Struct(f">i{SIGNATURE_BYTES}s")


def what_is_echoed(plan: RunPlan, step: Step, total: EncryptedVector) -> tuple[bytes, ...]:
    """The bytes that a trustee signs: it saw this sum of this attempt, and no other of this round."""
    where = f"{step.round}/{step.attempt}/{step.group}".encode()
    return (b"echo", plan.digest, where, hashlib.sha256(total.to_bytes()).digest())


def echoed(plan: RunPlan, step: Step, total: EncryptedVector, party: int, signature: bytes) -> bool:
    """True if this is the trustee's signature of the sum."""
    try:
        check_signature(plan.keys[party][:PUBLIC_BYTES], signature, *what_is_echoed(plan, step, total))
    except (ProtocolError, CryptoKeyError, KeyError):
        return False
    return True


def read_echoes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(party, signature) of each; raises `OpeningRefused` for bytes that are none."""
    if len(data) % RECORD.size:
        raise OpeningRefused(f"{many(len(data), 'byte is', 'bytes are')} no list of echoes")
    yield from RECORD.iter_unpack(data)


def write_echoes(echoes: Mapping[int, bytes]) -> bytes:
    """A record of party and signature for each."""
    return b"".join(RECORD.pack(party, echo) for party, echo in echoes.items())
