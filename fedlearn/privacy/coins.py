"""Coins that decide which examples of a client are in a round: each by itself, known to nobody but the client."""

from __future__ import annotations

import secrets
from hashlib import sha256

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from fedlearn.errors import PrivacyError

COIN_BYTES = 8
MOST_EXAMPLES = 10**9


def drawn(count: int, rate: float, seed: str | None = None) -> np.ndarray:
    """The numbers of those of `count` examples whose coin says yes, ascending int64 (n,).

    Each is drawn with a probability of `rate`, in (0, 1], rounded down to 64 bits: never with more. seed: of coins that
    anybody can throw again, for tests; None for secret ones.
    """
    if not 0 <= count <= MOST_EXAMPLES:
        raise PrivacyError(f"{count!s:.20} examples of a client: it must be 0 to {MOST_EXAMPLES:,}")
    threshold = int(rate * 2.0 ** (8 * COIN_BYTES))
    if threshold >= 1 << (8 * COIN_BYTES):
        return np.arange(count)
    size = COIN_BYTES * count
    bits = secrets.token_bytes(size) if seed is None else _repeated(seed, size)
    return np.flatnonzero(np.frombuffer(bits, "<u8") < np.uint64(threshold))


def _repeated(seed: str, size: int) -> bytes:
    key = sha256(f"fedlearn examples {seed}".encode()).digest()
    return Cipher(AES256(key), CTR(bytes(16))).encryptor().update(bytes(size))
