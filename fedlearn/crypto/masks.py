"""One-time masks that vanish in a sum (Bonawitz et al., CCS 2017): integers modulo 2^bits and streams from seeds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from fedlearn.errors import CodecError

SEED_BYTES = 32
MAX_BITS = 64


def add_masks(values: np.ndarray, plus: Iterable[bytes], minus: Iterable[bytes], bits: int) -> np.ndarray:
    """`values` + streams of `plus` - streams of `minus`, modulo 2^bits, as unsigned integers.

    values: one-dimensional, integers of any sign. A client masks with it; the server removes with it, seeds swapped.
    A seed is 32 secret random bytes, used for one vector only. Raises `CodecError` for `bits` outside 1 to 64.
    """
    if not 1 <= bits <= MAX_BITS:
        raise CodecError(f"masks modulo 2^{bits}: 1 to {MAX_BITS} bits are possible")
    word = np.dtype("<u4" if bits <= 32 else "<u8")  # sums wrap modulo 2^32 or 2^64, which 2^bits divides
    total = values.astype(word)
    zeros = bytes(total.nbytes)
    for seed in plus:
        total += np.frombuffer(_keystream(seed, zeros), dtype=word)
    for seed in minus:
        total -= np.frombuffer(_keystream(seed, zeros), dtype=word)
    total &= word.type((1 << bits) - 1)
    return total


def to_signed(residues: np.ndarray, bits: int) -> np.ndarray:
    """Integers modulo 2^bits as the int64 nearest to 0: exact for sums that fit `bits` signed bits."""
    shift = np.int64(64 - bits)
    return (residues.astype(np.uint64).view(np.int64) << shift) >> shift


def _keystream(seed: bytes, zeros: bytes) -> bytes:
    """ChaCha20 (RFC 8439) under a key that is never used again, so that the nonce may stay 0."""
    return Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor().update(zeros)
