from __future__ import annotations

import numpy as np
import pytest

from fedlearn.crypto import EncryptedVector, FixedPoint
from fedlearn.crypto.parallel import CryptoWorkers, decrypt
from fedlearn.errors import CiphertextError, CodecError, ShapeError

CODEC = FixedPoint(bits=12, bound=1.0, addends=3)


@pytest.fixture(scope="module")
def workers():
    with CryptoWorkers(2) as workers:
        yield workers


@pytest.mark.parametrize("shape", [(0,), (1,), (7, 100), (3, 0)])
def test_workers_encrypt_add_and_decrypt_like_one_process(toy, workers, shape):
    public, private = toy
    values = np.random.default_rng(1).integers(-CODEC.limit, CODEC.limit, (3, *shape), endpoint=True)
    vectors = [workers.encrypt(public, v, CODEC) for v in values]
    for vector, plain in zip(vectors, values, strict=True):
        np.testing.assert_array_equal(private.decrypt(vector), plain)
    messages = [vector.to_bytes() for vector in vectors]
    total = workers.sum(messages, public)
    one_by_one = EncryptedVector.sum(EncryptedVector.from_bytes(message, public) for message in messages)
    assert total.to_bytes() == one_by_one.to_bytes()
    for threads in (1, 2, 5):
        decrypted = decrypt(private, total, threads)
        assert decrypted.shape == shape
        np.testing.assert_array_equal(decrypted, values.sum(axis=0))


def test_sums_of_workers_name_the_message_at_fault(toy, workers):
    public, _ = toy
    good = public.encrypt(np.arange(100), CODEC)
    bad = public.encrypt(np.arange(100), CODEC)
    bad.ciphertexts[-1] *= public.modulus
    bad.ciphertexts[-1] %= public.nsquare
    with pytest.raises(CiphertextError, match=f"vector 1: ciphertext {len(bad.ciphertexts) - 1} shares a factor"):
        workers.sum([good.to_bytes(), bad.to_bytes()], public)
    with pytest.raises(CiphertextError, match="vector 2: an encrypted vector"):
        workers.sum([good.to_bytes(), good.to_bytes(), good.to_bytes()[:-1]], public)
    with pytest.raises(ShapeError):
        workers.sum([good.to_bytes(), public.encrypt(np.arange(99), CODEC).to_bytes()], public)
    with pytest.raises(CodecError, match="4 addends"):
        workers.sum([good.to_bytes()] * 4, public)


def test_workers_end_with_their_context(toy):
    with CryptoWorkers(1) as workers:
        pass
    with pytest.raises(RuntimeError, match="after shutdown"):
        workers.encrypt(toy[0], np.arange(3), CODEC)
