"""Signatures (Ed25519, RFC 8032) over several fields, framed so that no two lists of fields look alike."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fedlearn.errors import CryptoKeyError, ProtocolError
from fedlearn.wording import many

SIGNATURE_BYTES = 64
PUBLIC_BYTES = 32


class SigningKey:
    """One party's signing key, fresh or from `to_bytes` (else `CryptoKeyError`); its `public` (32 bytes) is shown."""

    def __init__(self, secret: bytes | None = None) -> None:
        kind = Ed25519PrivateKey
        try:
            self._key = kind.generate() if secret is None else kind.from_private_bytes(secret)
        except TypeError:
            raise CryptoKeyError(f"{secret!r:.40} is no Ed25519 private key: 32 bytes are expected") from None
        except ValueError:
            size = many(len(secret or b""), "byte")
            raise CryptoKeyError(f"no Ed25519 private key in {size}: 32 are expected") from None
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def sign(self, *fields: bytes) -> bytes:
        """A signature of these fields in this order; the first should name what is signed."""
        return self._key.sign(_frame(fields))

    def to_bytes(self) -> bytes:
        """Secret, 32 bytes; to be kept by `keyfiles.write_secret`."""
        return self._key.private_bytes_raw()

    def __repr__(self) -> str:
        return f"<SigningKey {self.public.hex()[:16]}>"


def check_signature(public: bytes, signature: bytes, *fields: bytes) -> None:
    """Raise `ProtocolError` unless `signature` is the key owner's for exactly these fields."""
    if not (isinstance(public, bytes) and isinstance(signature, bytes)):
        raise CryptoKeyError(f"public key {public!r:.40}, signature {signature!r:.40}: bytes are expected")
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
    except ValueError:
        raise CryptoKeyError(f"no Ed25519 public key in {many(len(public), 'byte')}: 32 are expected") from None
    try:
        key.verify(signature, _frame(fields))
    except InvalidSignature:
        raise ProtocolError(f"the signature is not that of key {public.hex()[:16]} for this message") from None


def _frame(fields: tuple[bytes, ...]) -> bytes:
    return b"".join(len(field).to_bytes(8, "big") + field for field in (b"fedlearn/signature/1", *fields))
