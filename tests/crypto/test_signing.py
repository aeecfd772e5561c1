from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedlearn.crypto.signing import SigningKey, check_signature
from fedlearn.errors import CryptoKeyError, ProtocolError

FIELDS = (b"update", b"session", b"round 3", b"ciphertexts")


def test_signatures_hold_for_exactly_what_was_signed():
    key = SigningKey()
    signature = key.sign(*FIELDS)
    assert len(signature) == 64
    check_signature(key.public, signature, *FIELDS)
    others = [
        FIELDS[::-1],
        FIELDS[:-1],
        (*FIELDS, b""),
        (b"updatesession", *FIELDS[2:]),
        (b"updat", b"esession", *FIELDS[2:]),
        (*FIELDS[:3], b"ciphertextt"),
    ]
    for fields in others:
        with pytest.raises(ProtocolError, match="signature"):
            check_signature(key.public, signature, *fields)


def test_signatures_of_others_are_refused():
    key, other = SigningKey(), SigningKey()
    for signature in (other.sign(*FIELDS), b"", bytes(64), key.sign(*FIELDS)[:-1]):
        with pytest.raises(ProtocolError, match=key.public.hex()[:16]):
            check_signature(key.public, signature, *FIELDS)
    with pytest.raises(CryptoKeyError, match="31 bytes"):
        check_signature(key.public[:-1], key.sign(*FIELDS), *FIELDS)
    assert key.public.hex()[:16] in repr(key)


def test_a_signing_key_comes_back_from_its_bytes():
    key = SigningKey()
    restored = SigningKey(key.to_bytes())
    assert restored.public == key.public
    check_signature(key.public, restored.sign(*FIELDS), *FIELDS)
    assert key.to_bytes().hex() not in repr(key)
    for secret in (b"", key.to_bytes()[:-1]):
        with pytest.raises(CryptoKeyError, match=f"no Ed25519 private key in {len(secret)} bytes:"):
            SigningKey(secret)


def test_the_library_alone_checks_our_signatures():
    key = SigningKey()
    framed = b"".join(len(f).to_bytes(8, "big") + f for f in (b"fedlearn/signature/1", *FIELDS))
    Ed25519PublicKey.from_public_bytes(key.public).verify(key.sign(*FIELDS), framed)
