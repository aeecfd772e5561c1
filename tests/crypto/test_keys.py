from __future__ import annotations

import hashlib
import pickle
import struct

import gmpy2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.crypto import PrivateKey, PublicKey, generate_keypair
from fedlearn.crypto.keys import hides
from fedlearn.errors import CryptoKeyError


@pytest.mark.parametrize("bits", [64, 65, 127, 512, 1023])
def test_primes_are_blum_and_the_modulus_has_the_exact_length(bits):
    for _ in range(5):
        public, private = generate_keypair(bits, insecure_test_key=True)
        p, q = private.primes
        assert public.n.bit_length() == public.bits == bits
        assert p * q == public.n
        assert p % 4 == q % 4 == 3
        assert gmpy2.gcd(p - 1, q - 1) == 2
        assert gmpy2.is_prime(p)
        assert gmpy2.is_prime(q)
        assert public.blum


def test_default_size_gives_128_bit_security():
    public, private = generate_keypair()
    assert public.bits == 3072
    assert abs(private.primes[0].bit_length() - private.primes[1].bit_length()) <= 1


def test_small_keys_are_refused_unless_called_insecure_by_name(toy):
    public, private = toy
    with pytest.raises(CryptoKeyError, match="a 1024-bit Paillier key is too small: at least 2048 bits"):
        generate_keypair(1024)
    with pytest.raises(CryptoKeyError, match="at least 2048"):
        PublicKey(public.n)
    with pytest.raises(CryptoKeyError, match="at least 2048"):
        PrivateKey(*private.primes)
    with pytest.raises(CryptoKeyError, match="at least 2048"):
        PublicKey.from_bytes(public.to_bytes())
    with pytest.raises(CryptoKeyError, match="64 bits is the least"):
        generate_keypair(32, insecure_test_key=True)


def test_large_keys_are_refused_before_anything_is_computed_with_them(monkeypatch):
    """A primality test of 131,072 bits takes two minutes, in which no signal is handled."""

    def never(*numbers):
        raise AssertionError(f"computed with {numbers[0].bit_length()} bits")

    for name in ("is_square", "is_strong_prp", "is_prime", "gcd"):
        monkeypatch.setattr(gmpy2, name, never)
    n = (1 << 131_071) + 1
    for make in (
        lambda: PublicKey(n),
        lambda: PublicKey(n, insecure_test_key=True),
        lambda: PrivateKey(n, 3, insecure_test_key=True),
        lambda: PrivateKey((1 << 9000) + 1, (1 << 9000) + 3),
        lambda: generate_keypair(16_385),
    ):
        with pytest.raises(CryptoKeyError, match=r"too large: at most (16384|8192)"):
            make()
    body = bytes([1]) * 16_383
    header = struct.pack(">BBH", 1, 0, len(body))
    with pytest.raises(CryptoKeyError, match=r"announces 16,383 bytes of modulus: at most 2,048"):
        PublicKey.from_bytes(header + body + hashlib.sha256(body).digest()[:16])


@pytest.mark.parametrize("bits", [True, 2048.0, "2048", None])
def test_sizes_that_are_no_integers_are_refused(bits):
    with pytest.raises(CryptoKeyError, match="an integer from 2048 to 16384"):
        generate_keypair(bits)


def test_numbers_that_are_no_integers_make_no_key():
    for make in (lambda: PublicKey("15"), lambda: PublicKey(1.5), lambda: PrivateKey(None, 3)):
        with pytest.raises(CryptoKeyError, match="an integer is needed"):
            make()
    with pytest.raises(CryptoKeyError):
        PublicKey(-(2**2047) - 1)


def test_unfit_moduli_are_refused(keys):
    public, private = keys
    p, q = private.primes
    for n in (p * p, 2 * public.n, 3 * public.n, gmpy2.next_prime(public.n)):
        with pytest.raises(CryptoKeyError):
            PublicKey(int(n))
    with pytest.raises(CryptoKeyError, match=r"3 \(mod 4\)"):
        PublicKey(int(gmpy2.next_prime(p * 4) * q) | 3, blum=True, insecure_test_key=True)
    with pytest.raises(CryptoKeyError, match="two different primes"):
        PrivateKey(p, p)
    with pytest.raises(CryptoKeyError, match="two different primes"):
        PrivateKey(p, q + 2)
    with pytest.raises(CryptoKeyError, match="shares a factor"):
        PrivateKey(3, 7, insecure_test_key=True)


@pytest.mark.parametrize(("p", "q"), [(7, 29), (29, 7), (7, 31), (31, 7), (5, 7), (13, 27_011), (3, 13)])
def test_a_modulus_hides_where_it_has_no_factor_of_its_units_order(p, q):
    assert hides(p, q) == (gmpy2.gcd(p * q, (p - 1) * (q - 1)) == 1)


def test_blum_is_computed_from_the_primes_not_believed(keys):
    p = int(keys[1].primes[0])
    q = p + 2
    while not (gmpy2.is_prime(q) and q % 4 == 1):
        q += 2
    assert not PrivateKey(p, q).public.blum


def test_public_key_bytes_and_fingerprint(keys):
    public = keys[0]
    copy = PublicKey.from_bytes(public.to_bytes())
    assert copy == public
    assert copy.blum
    assert hash(copy) == hash(public)
    unclaimed = PublicKey(public.n)
    assert not unclaimed.blum
    assert unclaimed == public
    assert public.fingerprint == hashlib.sha256(public.n.to_bytes(256, "big")).digest()[:16]
    assert pickle.loads(pickle.dumps(public)) == public
    assert PublicKey(public.n, insecure_test_key=True) == public


@given(data=st.data())
def test_damaged_public_key_bytes_are_refused(keys, data):
    raw = bytearray(keys[0].to_bytes())
    flag = 1  # the flags' lowest bit is the owner's claim: either value is a key
    position = data.draw(st.integers(0, len(raw) - 1).filter(lambda at: at != flag))
    raw[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CryptoKeyError):
        PublicKey.from_bytes(bytes(raw))


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 100, -1])
def test_truncated_public_key_bytes_are_refused(keys, cut):
    with pytest.raises(CryptoKeyError):
        PublicKey.from_bytes(keys[0].to_bytes()[:cut])


def test_private_key_keeps_its_secrets(keys):
    public, private = keys
    for text in (repr(private), str(private), f"{private}", repr(public)):
        assert not any(str(int(secret)) in text or f"{int(secret):x}" in text for secret in private.primes)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(private)


def test_private_keys_of_the_same_primes_are_one_key(toy, other_toy):
    private = toy[1]
    again = PrivateKey(*reversed(private.primes), insecure_test_key=True)
    assert again == private
    assert hash(again) == hash(private)
    for other in (other_toy[1], private.public, None):
        assert private != other


def test_phe_keys_are_the_same_keys(keys):
    public, private = keys
    assert public.phe.n == public.n
    encrypted = public.phe.encrypt(-12.5)
    assert private.phe.decrypt(encrypted) == -12.5
    raw = encrypted.ciphertext()
    assert private.raw_decrypt([gmpy2.mpz(raw)]) == [private.phe.raw_decrypt(raw)]


def test_decrypting_nothing(keys):
    assert keys[1].raw_decrypt([]) == []


def test_candidates_are_not_biased_to_long_gaps():
    """Stepping on to the next prime would draw 211, after a gap of 12, far more often than 199."""
    from fedlearn.crypto.primes import blum_prime

    primes = [p for p in range(192, 256) if gmpy2.is_prime(p) and p % 4 == 3]
    drawn = np.array([int(blum_prime(8)) for _ in range(4000)])
    counts = np.array([(drawn == p).sum() for p in primes])
    expected = len(drawn) / len(primes)
    assert counts.sum() == len(drawn)
    assert ((counts - expected) ** 2 / expected).sum() < 40  # chi square: 6 degrees of freedom, p < 1e-6
