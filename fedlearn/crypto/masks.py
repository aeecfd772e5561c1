"""One-time masks that vanish in a sum (Bonawitz et al., CCS 2017): integers modulo 2^bits and streams from seeds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from fedlearn.crypto.checks import given, whole
from fedlearn.errors import CodecError
from fedlearn.wording import many

SEED_BYTES = 32
MAX_BITS = 64


def add_masks(values: np.ndarray, plus: Iterable[bytes], minus: Iterable[bytes], bits: int) -> np.ndarray:
    """`values` + streams of `plus` - streams of `minus`, modulo 2^bits, as unsigned integers.

    values: one-dimensional, integers of any sign. A client masks with it; the server removes with it, seeds swapped.
    A seed is 32 secret random bytes, used for one vector only. Raises `CodecError` for `bits` outside 1 to 64, and for
    anything but integers and seeds.
    """
    _check(values, bits)
    word = np.dtype("<u4" if bits <= 32 else "<u8")  # sums wrap modulo 2^32 or 2^64, which 2^bits divides
    total = values.astype(word)
    zeros = bytes(total.nbytes)
    for seeds in (plus, minus):
        given("the seeds", seeds, Iterable, CodecError)
    for seed in plus:
        total += np.frombuffer(_keystream(seed, zeros), dtype=word)
    for seed in minus:
        total -= np.frombuffer(_keystream(seed, zeros), dtype=word)
    total &= word.type((1 << bits) - 1)
    return total


def to_signed(residues: np.ndarray, bits: int) -> np.ndarray:
    """Integers modulo 2^bits as the int64 nearest to 0: exact for sums that fit `bits` signed bits."""
    _check(residues, bits)
    shift = np.int64(64 - bits)
    return (residues.astype(np.uint64).view(np.int64) << shift) >> shift


def _check(values: np.ndarray, bits: int) -> None:
    given("a vector", values, np.ndarray, CodecError)
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise CodecError(f"{many(values.ndim, 'axis', 'axes')} of {values.dtype} cannot be masked: give integers (n,)")
    if not 1 <= whole("bits", bits) <= MAX_BITS:
        raise CodecError(f"masks modulo 2^{bits}: 1 to {MAX_BITS} bits are possible")


def _keystream(seed: bytes, zeros: bytes) -> bytes:
    """ChaCha20 (RFC 8439) under a key that is never used again, so that the nonce may stay 0."""
    if not isinstance(seed, bytes) or len(seed) != SEED_BYTES:
        raise CodecError(f"a seed is no {SEED_BYTES} bytes: draw it from secrets.token_bytes({SEED_BYTES})")
    return Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor().update(zeros)
