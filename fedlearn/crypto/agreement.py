"""Two parties agree on a secret over a public channel (X25519, RFC 7748) and send each other sealed letters."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from fedlearn.errors import CiphertextError, CryptoKeyError
from fedlearn.wording import many

KEY_BYTES = 32
_NONCE_BYTES = 12


class AgreementKey:
    """One party's X25519 key, fresh, or restored from `secret`. `public` (32 bytes) goes to the others."""

    def __init__(self, secret: bytes | None = None):
        secret = secrets.token_bytes(KEY_BYTES) if secret is None else secret
        if not isinstance(secret, bytes):  # never quoted: it may be a secret in another form
            raise CryptoKeyError(f"an X25519 key is {KEY_BYTES} bytes, not {type(secret).__name__}")
        if len(secret) != KEY_BYTES:
            raise CryptoKeyError(f"an X25519 key has {KEY_BYTES} bytes, not {len(secret)}")
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self.secret = secret
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def agree(self, peer: bytes, context: bytes) -> bytes:
        """32 secret bytes that both ends of a pair derive, others for every `context`.

        Raises `CryptoKeyError` for a public key of another length, or one that forces a known secret.
        """
        if not (isinstance(peer, bytes) and isinstance(context, bytes)):
            raise CryptoKeyError("a public key and a context are bytes: these are not")
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(peer))
        except ValueError as error:
            raise CryptoKeyError(f"public key {peer.hex()[:16]}... cannot be agreed with: {error}") from None
        low, high = sorted((self.public, peer))
        return _derive(shared, b"fedlearn/agreement/1" + low + high + context)

    def __repr__(self) -> str:
        return f"<AgreementKey {self.public.hex()[:16]}>"


def _derive(shared: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) without salt, one block."""
    extracted = hmac.digest(bytes(32), shared, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def seal(key: bytes, letter: bytes, context: bytes) -> bytes:
    """Encrypt and authenticate `letter` (ChaCha20-Poly1305, RFC 8439), bound to `context`, under a fresh nonce."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, letter, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """The letter; raises `CiphertextError` if it was damaged or sealed with another key or context."""
    try:
        return ChaCha20Poly1305(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        raise CiphertextError(
            f"a sealed letter of {many(len(sealed), 'byte')} is damaged, or for another key or use"
        ) from None
