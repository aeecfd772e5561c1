from __future__ import annotations

import hashlib
import operator
import pickle

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn.crypto import EncryptedVector, FixedPoint
from fedlearn.crypto.randomisers import OrdinaryRandomiser
from fedlearn.errors import CiphertextError, CodecError, CryptoKeyError, ShapeError

CODEC = FixedPoint(bits=12, bound=1.0, addends=20)


def random_values(codec, shape, seed=0):
    return np.random.default_rng(seed).integers(-codec.limit, codec.limit, shape, endpoint=True)


@settings(max_examples=60)
@given(
    bits=st.integers(2, 40),
    capacity=st.integers(1, 200),
    shape=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    data=st.data(),
)
def test_decrypted_sum_equals_the_plain_sum(toy, bits, capacity, shape, data):
    """Any width, sign, shape and cohort, whoever drops out."""
    public, private = toy
    codec = FixedPoint(bits, 0.5, capacity)
    arrived = data.draw(st.integers(1, min(capacity, 6)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = rng.integers(-codec.limit, codec.limit, (arrived, *shape), endpoint=True)
    total = EncryptedVector.sum(public.encrypt(v, codec) for v in values)
    decrypted = private.decrypt(total)
    assert decrypted.dtype == np.int64
    assert decrypted.shape == shape
    np.testing.assert_array_equal(decrypted, values.sum(axis=0))
    assert (total.addends, len(total)) == (arrived, int(np.prod(shape)))


def test_full_size_key_and_full_lanes(keys):
    public, private = keys
    codec = FixedPoint(24, 1.0, 100)
    extreme = np.where(np.arange(200) % 3 == 0, codec.limit, -codec.limit)
    total = public.encrypt(extreme, codec)
    fresh = public.encrypt(extreme, codec)
    for _ in range(99):
        total += fresh
    np.testing.assert_array_equal(private.decrypt(total), 100 * extreme)
    with pytest.raises(CodecError, match="101 addends do not fit lanes made for 100"):
        total += fresh
    np.testing.assert_array_equal(private.decrypt(total), 100 * extreme)


def test_bytes_a_weight_at_full_size(keys):
    public = keys[0]
    vector = public.encrypt(np.zeros(6600, np.int64), FixedPoint(24, 1.0, 100))
    assert len(vector.to_bytes()) / 6600 <= 8.0
    vector = public.encrypt(np.zeros(10200, np.int64), FixedPoint(16, 1.0, 16))
    assert len(vector.to_bytes()) / 10200 <= 5.1


def test_phe_alone_decrypts_every_ciphertext_and_we_decrypt_phes(keys):
    public, private = keys
    codec = FixedPoint(24, 1.0, 100)
    values = random_values(codec, 150)
    total = public.encrypt(values, codec) + public.encrypt(values, codec)
    for index, ciphertext in enumerate(total.ciphertexts):
        plaintext = private.phe.raw_decrypt(int(ciphertext))
        lanes = 2 * values[66 * index : 66 * (index + 1)]
        assert plaintext == sum(int(s) << (31 * i) for i, s in enumerate(lanes)) % public.n
    foreign = [mpz(public.phe.raw_encrypt(int(m))) for m in total.packing.pack(values)]
    ours = EncryptedVector(public, codec, (150,), 1, foreign)
    np.testing.assert_array_equal(private.decrypt(ours + total), 3 * values)


def test_encryption_is_randomised(toy):
    public, _ = toy
    zeros = np.zeros(500, np.int64)
    first, second = public.encrypt(zeros, CODEC), public.encrypt(zeros, CODEC)
    assert len(set(first.ciphertexts) | set(second.ciphertexts)) == 2 * len(first.ciphertexts)


def test_a_vector_is_itself_alone_whatever_it_holds(toy):
    vector = toy[0].encrypt(np.zeros(3, np.int64), FixedPoint(12, 1.0, 5))
    again = EncryptedVector.from_bytes(vector.to_bytes(), toy[0])
    assert again.to_bytes() == vector.to_bytes()
    assert again != vector
    assert len({vector, again, vector}) == 2


def test_adding_leaves_the_addends_alone_and_adds_in_place_when_asked(toy):
    public, private = toy
    values = random_values(CODEC, 70)
    one, two = public.encrypt(values, CODEC), public.encrypt(-values, CODEC)
    before = list(one.ciphertexts)
    assert not private.decrypt(one + two).any()
    assert one.ciphertexts == before
    stream = sum([one, two, one])
    assert isinstance(stream, EncryptedVector)
    np.testing.assert_array_equal(private.decrypt(stream), values)
    assert one.ciphertexts == before
    total = EncryptedVector.sum(iter([one, two]))
    assert total.addends == 2
    assert one.ciphertexts == before


@pytest.mark.parametrize("factor", [1, 2, -3, 20])
def test_public_factors(toy, factor):
    public, private = toy
    values = random_values(CODEC, (3, 41))
    vector = public.encrypt(values, CODEC)
    product = factor * vector
    np.testing.assert_array_equal(private.decrypt(product), factor * values)
    assert product.addends == abs(factor)
    powers = {int(pow(c, factor, public.nsquare)) for c in vector.ciphertexts}
    assert not powers & {int(c) for c in product.ciphertexts}


def test_numpy_integers_are_factors_and_other_numbers_are_not(toy):
    public, private = toy
    vector = public.encrypt(np.arange(3), CODEC)
    for product in (vector * np.int64(3), np.int8(3) * vector):
        np.testing.assert_array_equal(private.decrypt(product), [0, 3, 6])
    for factor in (1.5, True, np.float64(2), np.ones(3), "2", None):
        with pytest.raises(TypeError):
            vector * factor
        with pytest.raises(TypeError):
            factor * vector


@pytest.mark.parametrize("other", [1, 1.5, np.int64(0), np.ones(3), np.zeros(3, np.int64), "text", None, [0]])
def test_only_vectors_are_added_to_vectors(toy, other):
    """An array of numbers would otherwise become an array of objects, each a vector."""
    vector = toy[0].encrypt(np.arange(3), CODEC)
    before = list(vector.ciphertexts)
    for add in (lambda: vector + other, lambda: other + vector, lambda: operator.iadd(vector, other)):
        with pytest.raises(TypeError):
            add()
    assert vector.ciphertexts == before


def test_factors_that_do_not_fit_are_refused(toy):
    vector = toy[0].encrypt(np.zeros(3, np.int64), CODEC)
    with pytest.raises(CodecError, match="21 addends"):
        vector * 21
    with pytest.raises(CodecError, match="21 addends"):
        vector * -7 * 3
    with pytest.raises(CodecError, match="by 0"):
        vector * 0
    with pytest.raises(TypeError):
        vector * 0.5


@pytest.mark.parametrize("parts", [1, 2, 3, 50])
@pytest.mark.parametrize("shape", [(11, 31), (1,), (0, 31)])
def test_slices_hold_the_vector_part_by_part(toy, parts, shape):
    public, private = toy
    values = random_values(CODEC, shape)
    vector = public.encrypt(values, CODEC)
    slices = vector.slices(parts)
    assert 1 <= len(slices) <= parts
    np.testing.assert_array_equal(np.concatenate([private.decrypt(s) for s in slices]), values.reshape(-1))
    with pytest.raises(ShapeError, match="in 0 slices"):
        vector.slices(0)


def test_shapes_beyond_what_arrays_can_have_are_refused(toy):
    empty = toy[0].encrypt(np.zeros((0, 1), np.int64), CODEC)
    for shape in ((0, 2**62), (1, 0) * 20):
        forged = EncryptedVector(toy[0], CODEC, shape, 1, empty.ciphertexts)
        with pytest.raises(CiphertextError, match="at most 32 dimensions"):
            EncryptedVector.from_bytes(forged.to_bytes(), toy[0])


def test_vectors_that_do_not_belong_together_are_refused(toy, other_toy):
    values = np.zeros(5, np.int64)
    vector = toy[0].encrypt(values, CODEC)
    with pytest.raises(CryptoKeyError, match="cannot be added: encrypt both to one"):
        vector + other_toy[0].encrypt(values, CODEC)
    with pytest.raises(CodecError, match="different codecs"):
        vector + toy[0].encrypt(values, FixedPoint(12, 1.0, 21))
    with pytest.raises(ShapeError, match=r"\(5,\) and \(6,\)"):
        vector + toy[0].encrypt(np.zeros(6, np.int64), CODEC)
    with pytest.raises(CiphertextError, match="but this is"):
        other_toy[1].decrypt(vector)
    with pytest.raises(CryptoKeyError, match="another key"):
        toy[0].encrypt(values, CODEC, OrdinaryRandomiser(other_toy[0]))
    with pytest.raises(CodecError, match="at least one"):
        EncryptedVector.sum([])


def test_values_the_codec_did_not_make_are_refused(toy):
    public = toy[0]
    with pytest.raises(CodecError, match="-2048 does not fit 12 signed bits"):
        public.encrypt(np.array([3, -2048]), CODEC)
    with pytest.raises(CodecError, match="not float64"):
        public.encrypt(np.zeros(3), CODEC)


def test_lanes_beyond_what_honest_addends_sum_to_are_refused(toy):
    public, private = toy
    vector = public.encrypt(np.array([CODEC.limit]), CODEC)
    forged = EncryptedVector(public, CODEC, (1,), 1, [pow(c, 2, public.nsquare) for c in vector.ciphertexts])
    with pytest.raises(CiphertextError, match="exceeds"):
        private.decrypt(forged)


@given(shape=st.lists(st.integers(0, 9), max_size=3).map(tuple), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_bytes_round_trip(toy, shape, seed):
    public, private = toy
    values = random_values(CODEC, shape, seed)
    vector = public.encrypt(values, CODEC) + public.encrypt(values, CODEC)
    raw = vector.to_bytes()
    copy = EncryptedVector.from_bytes(raw, public)
    assert (copy.codec, copy.shape, copy.addends) == (CODEC, shape, 2)
    assert copy.to_bytes() == raw
    np.testing.assert_array_equal(private.decrypt(copy), 2 * values)
    assert copy.nbytes == len(copy.ciphertexts) * 128
    assert pickle.loads(pickle.dumps(vector)).to_bytes() == raw


@settings(max_examples=200)
@given(data=st.data())
def test_damaged_bytes_are_refused(toy, data):
    public = toy[0]
    raw = bytearray(public.encrypt(random_values(CODEC, 40), CODEC).to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CiphertextError):
        EncryptedVector.from_bytes(bytes(raw), public)
    with pytest.raises(CiphertextError):
        EncryptedVector.from_bytes(bytes(raw[:at]), public)


def forge(raw, changes):
    """Replace bytes of a message and put the right digest under it, as an attacker would."""
    body = bytearray(raw[:-16])
    for at, new in changes.items():
        body[at : at + len(new)] = new
    return bytes(body) + hashlib.blake2b(body, digest_size=16).digest()


# At 0 the format, 1 key, 17 codec (bits, bound, addends, overflow), 31 addends, 35 rank, 36 shape.
FORGERIES = {
    "format": ({0: b"\x07"}, "format 7"),
    "key": ({1: bytes(16)}, "but key"),
    "codec bits": ({17: b"\x01"}, "at least 2 bits"),
    "codec bound": ({18: b"\xff\xf8" + bytes(6)}, "bound=nan"),
    "codec addends": ({26: b"\xff\xff\xff\xff", 17: b"\x30"}, "80-bit lanes"),
    "codec overflow": ({30: b"\x09"}, "unknown mode"),
    "no addends": ({31: bytes(4)}, "0 addends"),
    "addends": ({31: b"\x00\x00\x00\x15"}, "21 addends"),
    "dimensions": ({35: b"\xff"}, "cannot be used"),
    "shape": ({36: b"\x00\x00\x00\x00\x00\x00\x01\x00"}, "wrong length"),
    "huge shape": ({36: b"\xff" * 8}, "at most 32 dimensions"),
}


@pytest.mark.parametrize(("changes", "said"), FORGERIES.values(), ids=FORGERIES)
def test_forged_headers_are_refused(toy, changes, said):
    raw = toy[0].encrypt(random_values(CODEC, 40), CODEC).to_bytes()
    assert forge(raw, {}) == raw
    with pytest.raises(CiphertextError, match=said):
        EncryptedVector.from_bytes(forge(raw, changes), toy[0])


def test_ciphertexts_out_of_range_are_refused(toy):
    public, private = toy
    raw = public.encrypt(random_values(CODEC, 40), CODEC).to_bytes()
    bad = {
        "outside": [0, public.nsquare, public.nsquare + 5],
        "shares a factor": [public.n, 7 * public.n, private.primes[0], 12 * private.primes[1]],
    }
    for said, ciphertexts in bad.items():
        for ciphertext in ciphertexts:
            with pytest.raises(CiphertextError, match=f"ciphertext 1 {said}|ciphertext 1 lies {said}"):
                EncryptedVector.from_bytes(forge(raw, {44 + 128: int(ciphertext).to_bytes(128, "little")}), public)
    with pytest.raises(CiphertextError, match="ciphertext 0 lies outside"):
        EncryptedVector.from_bytes(forge(raw, {44: bytes(len(raw) - 44 - 16)}), public)


def test_bytes_of_another_key_are_refused(toy, other_toy):
    raw = toy[0].encrypt(np.zeros(4, np.int64), CODEC).to_bytes()
    with pytest.raises(CiphertextError, match="is expected"):
        EncryptedVector.from_bytes(raw, other_toy[0])
