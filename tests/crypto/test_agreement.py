from __future__ import annotations

import secrets

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedlearn.crypto.agreement import AgreementKey, seal, unseal
from fedlearn.errors import CiphertextError, CryptoKeyError


def test_agreement_is_mutual_and_bound_to_its_context():
    one, two, three = AgreementKey(), AgreementKey(), AgreementKey()
    assert one.agree(two.public, b"round 1") == two.agree(one.public, b"round 1")
    keys = {one.agree(two.public, b"round 1"), one.agree(two.public, b"round 2"), one.agree(three.public, b"round 1")}
    assert len(keys) == 3
    restored = AgreementKey(one.secret)
    assert restored.public == one.public
    assert one.secret.hex()[:16] not in repr(one)


def test_agreement_follows_x25519_and_hkdf_of_the_library():
    ours = AgreementKey()
    theirs = X25519PrivateKey.generate()
    public = theirs.public_key().public_bytes_raw()
    low, high = sorted((ours.public, public))
    info = b"fedlearn/agreement/1" + low + high + b"here"
    shared = theirs.exchange(X25519PublicKey.from_public_bytes(ours.public))
    assert ours.agree(public, b"here") == HKDF(hashes.SHA256(), 32, None, info).derive(shared)


@pytest.mark.parametrize("public", [bytes(32), (1).to_bytes(32, "little"), bytes(31)])
def test_public_keys_that_force_a_secret_are_refused(public):
    with pytest.raises(CryptoKeyError, match="cannot be agreed with"):
        AgreementKey().agree(public, b"")


def test_secrets_of_another_length_are_refused():
    with pytest.raises(CryptoKeyError, match="32 bytes, not 31"):
        AgreementKey(bytes(31))


def test_sealed_letters():
    key = secrets.token_bytes(32)
    sealed = seal(key, b"two shares", b"round 1, from 3 to 5")
    assert unseal(key, sealed, b"round 1, from 3 to 5") == b"two shares"
    assert seal(key, b"two shares", b"") != seal(key, b"two shares", b"")
    for bad in (sealed[:-1], sealed[:5], b"", bytes([sealed[0] ^ 1]) + sealed[1:]):
        with pytest.raises(CiphertextError, match="damaged"):
            unseal(key, bad, b"round 1, from 3 to 5")
    for other_key, context in ((key, b"round 2, from 3 to 5"), (bytes(32), b"round 1, from 3 to 5")):
        with pytest.raises(CiphertextError, match="another key or use"):
            unseal(other_key, sealed, context)
