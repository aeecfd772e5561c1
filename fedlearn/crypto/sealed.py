"""Bytes encrypted under a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM encrypts and authenticates."""

from __future__ import annotations

import secrets
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedlearn.errors import CryptoKeyError

_SCRYPT = {"n": 1 << 17, "r": 8, "p": 1}  # 128 MiB, about half a second


def seal(content: bytes, passphrase: str, authenticated: bytes) -> dict[str, Any]:
    """The encrypted bytes as plain values, for JSON. authenticated: what stands beside them in the clear."""
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    data = AESGCM(_derive(passphrase, salt)).encrypt(nonce, content, authenticated)
    texts = {name: raw.hex() for name, raw in (("salt", salt), ("nonce", nonce), ("data", data))}
    return {"kdf": "scrypt", **_SCRYPT, "cipher": "AES-256-GCM", **texts}


def unseal(sealed: Any, passphrase: str, authenticated: bytes) -> bytes:
    """The plaintext that `seal` was given; raises `CryptoKeyError` for a wrong passphrase or damaged values."""
    expected = {"kdf": "scrypt", **_SCRYPT, "cipher": "AES-256-GCM"}
    if not isinstance(sealed, dict) or {key: sealed.get(key) for key in expected} != expected:
        raise CryptoKeyError(f"the key is encrypted in an unknown way: {expected} is expected, write the file anew")
    try:
        salt, nonce, data = (bytes.fromhex(sealed[name]) for name in ("salt", "nonce", "data"))
        return AESGCM(_derive(passphrase, salt)).decrypt(nonce, data, authenticated)
    except (KeyError, TypeError, ValueError):
        raise CryptoKeyError("the encrypted part of the key file is malformed: damaged file, get it anew") from None
    except InvalidTag:
        raise CryptoKeyError("wrong passphrase, or a damaged key file: try again, or get the file anew") from None


def _derive(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, **_SCRYPT).derive(passphrase.encode(errors="surrogateescape"))
