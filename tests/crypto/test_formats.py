"""Bytes that one release writes and another reads: written out here, so that no change of them goes unseen."""

from __future__ import annotations

import struct
from fractions import Fraction
from hashlib import blake2b, sha256, shake_256

import numpy as np
import pytest
from gmpy2 import mpz

from fedlearn.crypto import EncryptedVector, FixedPoint, PublicKey, sealed
from fedlearn.crypto.agreement import AgreementKey, seal, unseal
from fedlearn.crypto.codec import CODEC_BYTES
from fedlearn.crypto.equality import EqualityProof, response_bits
from fedlearn.crypto.integers import width_of
from fedlearn.crypto.lanes import residues_from_bytes, residues_to_bytes
from fedlearn.crypto.masks import add_masks, to_signed
from fedlearn.crypto.neighbours import neighbours
from fedlearn.crypto.packing import LanePacking
from fedlearn.crypto.parallel import CryptoWorkers
from fedlearn.crypto.randomisers import djn_base
from fedlearn.crypto.shamir import combine
from fedlearn.crypto.signing import SigningKey
from fedlearn.crypto.threshold import KeyShare, PartialDecryption, ThresholdKey, deal
from fedlearn.errors import BadInput, CiphertextError, CryptoKeyError
from tests.crypto.known import PRIVATE, PUBLIC

CODEC = FixedPoint(12, 1.0, 20)


def damped(body: bytes) -> bytes:
    """With the digest that tells damage."""
    return body + blake2b(body, digest_size=16).digest()


def test_a_public_key_is_its_header_modulus_and_fingerprint():
    body = int(PUBLIC.n).to_bytes(64, "big")
    assert PUBLIC.fingerprint == sha256(body).digest()[:16]
    assert PUBLIC.to_bytes() == bytes([1, 1, 0, 64]) + body + PUBLIC.fingerprint
    plain = PublicKey(PUBLIC.n, insecure_test_key=True)
    assert plain.to_bytes() == bytes([1, 0, 0, 64]) + body + PUBLIC.fingerprint
    assert [PublicKey.from_bytes(k.to_bytes(), insecure_test_key=True).blum for k in (PUBLIC, plain)] == [True, False]
    assert PUBLIC.ciphertext_bytes == 128


@pytest.mark.parametrize(
    ("codec", "mode"),
    [
        (FixedPoint(12, 1.5, 20), 0),
        (FixedPoint(12, 1.5, 20, "clip"), 1),
        (FixedPoint(12, 1.5, 20, "refuse", "stochastic"), 2),
        (FixedPoint(12, 1.5, 20, "clip", "stochastic"), 3),
    ],
)
def test_a_codec_is_bits_bound_addends_and_mode(codec, mode):
    assert codec.to_bytes() == struct.pack(">BdIB", 12, 1.5, 20, mode)
    assert CODEC_BYTES == 14
    assert FixedPoint.from_bytes(codec.to_bytes()) == codec


@pytest.mark.parametrize("fraction_bits", [126, 127, 128, 129])
def test_steps_that_float32_does_not_hold_are_taken_in_float64(fraction_bits):
    codec = FixedPoint(24, 2.0 ** (22 - fraction_bits), 1)
    assert codec.fraction_bits == fraction_bits
    values = np.array([1, -1, 0.5, 0], np.float32) * np.float32(codec.bound)
    assert codec.encode(values).tolist() == [1 << 22, -(1 << 22), 1 << 21, 0]


@pytest.mark.parametrize("overflow", ["refuse", "clip"])
def test_long_vectors_are_encoded_part_by_part(overflow):
    """Parts of 65,536 values, of which the last is shorter, and one has values beyond the bound."""
    codec, values = FixedPoint(12, 1.0, 1, overflow), np.linspace(-1, 1, 140_000, dtype=np.float32)
    values[70_000] = 3.0 if overflow == "clip" else 1.0
    found = codec.encode(values)
    assert found[70_000] == 1024
    for part in (slice(0, 65_536), slice(65_536, 131_072), slice(131_072, None)):
        assert found[part].tolist() == codec.encode(values[part].astype(np.float64)).tolist()


def test_the_smallest_steps_are_finite_under_the_largest_scale():
    codec = FixedPoint(2, 2.0**-960, 1)
    assert codec.encode(np.array([0, 2.0**-1022, -(2.0**-1022)]), scale=2.0**62).tolist() == [0, 1, -1]


def test_an_encrypted_vector_is_header_axes_ciphertexts_and_digest():
    vector = EncryptedVector(PUBLIC, CODEC, (2, 3), 7, [mpz(5)])
    header = bytes([1]) + PUBLIC.fingerprint + CODEC.to_bytes() + struct.pack(">IB2Q", 7, 2, 2, 3)
    assert vector.to_bytes() == damped(header + (5).to_bytes(128, "little"))
    read = EncryptedVector.from_bytes(vector.to_bytes(), PUBLIC)
    assert (read.shape, read.addends, read.ciphertexts, read.codec) == ((2, 3), 7, [5], CODEC)


def test_a_shared_key_its_shares_and_answers():
    key, (share, *_) = deal(2, 3, 128, insecure_test_key=True)
    public = key.public.to_bytes()
    numbers = b"".join(int(number).to_bytes(16, "little") for number in (key.generator, *key.verification))
    assert key.to_bytes() == damped(struct.pack(">BBBH", 2, 2, 3, len(public)) + public + numbers)
    fingerprint = key.public.fingerprint
    secret = share.to_bytes()[18:34]
    assert share.to_bytes() == damped(bytes([2, 1]) + fingerprint + secret)
    answer = share.partial_decrypt(key.public.encrypt(np.arange(3), FixedPoint(12, 1.0, 3)), b"round")
    for number in (key.generator, key.verification[0], answer.powers[0], answer.proof.response):
        assert str(number) not in repr(key) + repr(answer)
    width = (response_bits(128 + 3) + 7) // 8
    proof = b"".join(int(n).to_bytes(width, "little") for n in (answer.proof.challenge, answer.proof.response))
    powers = b"".join(int(power).to_bytes(16, "little") for power in answer.powers)
    assert answer.to_bytes(key) == damped(struct.pack(">BB16sI", 2, 1, fingerprint, 1) + proof + powers)
    assert response_bits(100) == 100 + 128 + 128 + 1
    # with a right digest, and wrong beneath it
    for kind, good, error, rest in (
        (ThresholdKey, key.to_bytes()[:-16], CryptoKeyError, {"insecure_test_key": True}),
        (KeyShare, share.to_bytes()[:-16], CryptoKeyError, {"key": key}),
        (PartialDecryption, answer.to_bytes(key)[:-16], CiphertextError, {"threshold_key": key}),
    ):
        kind.from_bytes(damped(good), **rest)
        for bad in (b"", good[:1], good[:5], good[:18], good[:-1], good + b"\0", b"\1" + good[1:], good[:-16]):
            with pytest.raises(error, match=f"^(no|a threshold key of) .*{len(bad) + 16:,} bytes|^a public key of"):
                kind.from_bytes(damped(bad), **rest)


def test_what_a_shared_key_is_made_of_is_checked():
    key, (share, *_) = deal(2, 3, 128, insecure_test_key=True)
    n = key.public.modulus
    for generator, verification in (
        (n, key.verification),
        (mpz(0), key.verification),
        (key.generator, (n, *key.verification[1:])),
        (key.generator, (*key.verification[:-1], mpz(0))),
    ):
        with pytest.raises(CiphertextError, match="outside"):
            ThresholdKey(key.public, 2, generator, verification)
    with pytest.raises(CryptoKeyError, match="threshold 4 of 3"):
        ThresholdKey(key.public, 4, key.generator, key.verification)
    value = int.from_bytes(share.to_bytes()[18:34], "little")
    assert KeyShare(key, 1, value).to_bytes() == share.to_bytes()
    for trustee, wrong in ((1, value + 1), (2, value), (1, -value), (1, value + n)):
        with pytest.raises(CryptoKeyError, match=f"the share of trustee {trustee} does not belong to this key"):
            KeyShare(key, trustee, wrong)
    for trustee in (0, 4):
        with pytest.raises(CryptoKeyError, match=f"share of trustee {trustee}: the key has trustees 1 to 3"):
            KeyShare(key, trustee, value)
    with pytest.raises(CryptoKeyError, match="which is no threshold key"):
        KeyShare("key", 1, value)
    nothing = ThresholdKey(key.public, 2, key.generator, (mpz(1), *key.verification[1:]))
    assert KeyShare(nothing, 1, 0).trustee == 1


def test_a_letter_is_nonce_text_and_tag():
    one, other = AgreementKey(bytes(31) + b"\1"), AgreementKey(bytes(31) + b"\2")
    key = one.agree(other.public, b"use")
    assert key == other.agree(one.public, b"use") != one.agree(other.public, b"another")
    assert len(key) == 32
    assert len(seal(key, b"letter", b"use")) == 12 + 6 + 16
    assert unseal(key, seal(key, b"letter", b"use"), b"use") == b"letter"
    assert repr(one) == f"<AgreementKey {one.public.hex()[:16]}>"
    assert repr(SigningKey(bytes(32))) == f"<SigningKey {SigningKey(bytes(32)).public.hex()[:16]}>"


def test_what_a_passphrase_locks_names_its_work_salt_nonce_and_data(monkeypatch):
    locked = {"kdf": "scrypt", "n": 131072, "r": 8, "p": 1, "cipher": "AES-256-GCM"} | {
        "salt": "000102030405060708090a0b0c0d0e0f",
        "nonce": "000102030405060708090a0b",
        "data": "fc5b16b58dd0d4b06c679b41595b7c19ede93e7963fd",
    }
    monkeypatch.setattr("secrets.token_bytes", lambda size: bytes(range(size)))
    assert sealed.seal(b"secret", "correct horse", b"beside") == locked


def test_a_share_is_a_number_of_33_bytes_below_the_smallest_prime_above_2_to_256():
    line = {x: ((7 + 5 * x) % (2**256 + 297)).to_bytes(33, "big") for x in (1, 2, 2**255)}
    for pair in ((1, 2), (2, 2**255), (1, 2**255)):
        assert combine({x: line[x] for x in pair}, 2) == (7).to_bytes(32, "big")


def test_masks_are_streams_of_chacha20_and_residues_their_lowest_bits():
    values = np.array([-1, 0, 5], np.int64)
    masked = add_masks(values, [bytes(32)], [b"\1" * 32, b"\2" * 32], 20)
    assert masked.dtype == np.uint32
    assert masked.max() < 1 << 20
    assert to_signed(add_masks(masked, [b"\2" * 32, b"\1" * 32], [bytes(32)], 20), 20).tolist() == [-1, 0, 5]
    stream = bytes.fromhex("76b8e0ada0f13d90405d6ae55386bd28")  # RFC 8439, A.1, test vector 1
    zeros = np.zeros(4, np.int64)
    assert add_masks(zeros, [bytes(32)], [], 32).tolist() == np.frombuffer(stream, "<u4").tolist()
    assert add_masks(zeros[:2], [bytes(32)], [], 64).tolist() == np.frombuffer(stream, "<u8").tolist()
    assert add_masks(zeros, [bytes(32)], [], 33).dtype == np.uint64


@pytest.mark.parametrize("bits", [1, 3, 8, 20, 32, 33, 63, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 130])
def test_residues_lie_end_to_end_lowest_bits_first(bits, count):
    numbers = [(i * 0x9E3779B97F4A7C15 + 1) % (1 << bits) for i in range(count)]
    data = residues_to_bytes(np.array(numbers, np.uint64), bits)
    whole = sum(number << (bits * i) for i, number in enumerate(numbers))
    assert data == whole.to_bytes(-(-count * bits // 8), "little")
    assert residues_from_bytes(data, bits, count).tolist() == numbers


def test_the_base_of_short_exponents_follows_from_the_key():
    seed = shake_256(b"fedlearn/paillier/djn-base/1" + int(PUBLIC.n).to_bytes(64, "big")).digest(80)
    x = int.from_bytes(seed, "big") % int(PUBLIC.n)
    assert djn_base(PUBLIC) == pow(-x * x % int(PUBLIC.n), int(PUBLIC.n), int(PUBLIC.nsquare))


def test_the_circle_of_neighbours_follows_from_the_context():
    for context in (b"round 1", b"round 2", b"round 3", b"round 4"):
        seed = int.from_bytes(sha256(b"fedlearn/neighbours/1" + context).digest(), "big") % 2**128
        circle = np.random.Generator(np.random.Philox(seed)).permutation(9).tolist()
        found = neighbours(range(9), 4, context)
        for place, client in enumerate(circle):
            assert found[client] == tuple(circle[(place + step) % 9] for step in (-1, 1, -2, 2))
    assert found != neighbours(range(9), 4, b"round 1")


def test_bits_are_held_by_whole_bytes():
    assert [width_of(bits) for bits in (0, 1, 8, 9, 16, 17, 3072)] == [0, 1, 1, 2, 2, 3, 384]


def test_plaintexts_of_another_kind_are_taken_like_pythons():
    wide = FixedPoint(np.int64(12), np.float32(1.0), np.uint8(20))
    assert wide.to_bytes() == CODEC.to_bytes()
    packing = LanePacking(np.int64(24), 10**40)
    assert (type(packing.lane_bits), type(packing.modulus)) == (int, mpz)
    with pytest.raises(BadInput, match="challenge is 3, a mpz is needed"):
        EqualityProof(3, mpz(4))


@pytest.fixture(scope="module")
def workers():
    with CryptoWorkers(2) as crypto:
        yield crypto


def test_workers_add_what_came_and_name_what_is_wrong_with_it(workers):
    values = np.arange(-60, 60)
    vectors = [PUBLIC.encrypt(values, CODEC) for _ in range(3)]
    messages = [vector.to_bytes() for vector in vectors]
    assert len(vectors[0].ciphertexts) > 2
    for some in (messages[:1], messages):
        assert PRIVATE.decrypt(workers.sum(some, PUBLIC)).tolist() == (len(some) * values).tolist()
    empty = PUBLIC.encrypt(values[:0], CODEC).to_bytes()
    assert PRIVATE.decrypt(workers.sum([empty, empty], PUBLIC)).size == 0
    last = len(vectors[1].ciphertexts) - 1
    vectors[1].ciphertexts[last] = mpz(0)
    with pytest.raises(CiphertextError, match=rf"^vector 1: ciphertext {last} lies outside \[1, n\^2\)"):
        workers.sum([messages[0], vectors[1].to_bytes()], PUBLIC)
    vectors[1].ciphertexts[0] = mpz(PRIVATE.primes[0])
    with pytest.raises(CiphertextError, match=r"^vector 1: ciphertext 0 shares a factor with n"):
        workers.sum([messages[0], vectors[1].to_bytes()], PUBLIC)
    assert PRIVATE.decrypt(workers.encrypt(PUBLIC, values, CODEC)).tolist() == values.tolist()


def test_a_vector_is_cut_between_its_ciphertexts():
    vector = PUBLIC.encrypt(np.arange(100), CODEC)
    assert len(vector.ciphertexts) == 4
    lanes = vector.packing.lanes
    for parts, sizes in ((1, [100]), (2, [2 * lanes, 100 - 2 * lanes]), (4, [lanes, lanes, lanes, 100 - 3 * lanes])):
        assert [len(part) for part in vector.slices(parts)] == sizes
        assert np.concatenate([PRIVATE.decrypt(part) for part in vector.slices(parts)]).tolist() == list(range(100))
    assert [len(part.ciphertexts) for part in vector.slices(9)] == [1, 1, 1, 1]
    assert "4 of 512 bits, 512 bytes" in vector._repr_html_()
    assert str(vector.ciphertexts[0]) not in repr(vector)


@pytest.mark.parametrize("scale", [1.0, 1 / 3, 0.1, 5 / 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
@pytest.mark.parametrize("bits", [12, 24, 40, 52])
def test_values_are_rounded_once_and_by_float64(bits, dtype, scale):
    """By fractions: the nearest step of the product that float64 has."""
    codec = FixedPoint(bits, 1.0, 1)
    values = np.random.default_rng(bits).uniform(-1, 1, 300).astype(dtype)
    found = codec.encode(values, scale=scale)
    step = Fraction(1, 2**codec.fraction_bits)
    for value, integer in zip(values.tolist(), found.tolist(), strict=True):
        factor = float(np.ldexp(scale, codec.fraction_bits))
        assert integer == round(Fraction(value * factor))
        assert abs(integer * step - Fraction(value) * Fraction(scale)) <= step / 2 + Fraction(1, 2**50)
