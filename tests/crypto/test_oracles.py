"""The scheme against other implementations of it: a known answer, the paper's formulas, and plain phe."""

from __future__ import annotations

import math
import secrets

import numpy as np
from gmpy2 import mpz, powmod
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.crypto import FixedPoint, PrivateKey


class GivenRandomiser:
    """r^n for an r that the test knows."""

    def __init__(self, public, r):
        self.public, self.r = public, r

    def factors(self, count):
        return [powmod(self.r, self.public.n, self.public.nsquare)] * count


def test_known_answer():
    """n = 293 * 433, m = 10100, r = 74384."""
    private = PrivateKey(293, 433, insecure_test_key=True)
    codec = FixedPoint(bits=15, bound=16383, addends=1)
    vector = private.public.encrypt(np.array([10100]), codec, GivenRandomiser(private.public, 74384))
    assert vector.ciphertexts == [935906717]
    assert private.decrypt(vector) == [10100]
    assert private.raw_decrypt([mpz(935906717)]) == [10100]


class TextbookPaillier:
    """Paillier 1999, scheme 1, from its formulas, with Python's own integers and a generator g of its own."""

    def __init__(self, p, q):
        self.n, self.carmichael = p * q, math.lcm(p - 1, q - 1)
        self.square = self.n**2
        self.g = 1 + 7 * self.n  # any g whose order is a multiple of n will do
        self.mu = pow(self.logarithm(pow(self.g, self.carmichael, self.square)), -1, self.n)

    def logarithm(self, u):
        return (u - 1) // self.n

    def encrypt_to_usual_base(self, m):
        r = secrets.randbelow(self.n - 1) + 1
        return pow(1 + self.n, m, self.square) * pow(r, self.n, self.square) % self.square

    def decrypt(self, c):
        """With g = 1 + 7 n the plaintext of (1 + n)^m is m / 7."""
        return 7 * self.logarithm(pow(c, self.carmichael, self.square)) * self.mu % self.n


@given(st.data())
def test_an_independent_paillier_agrees(toy, data):
    public, private = toy
    textbook = TextbookPaillier(*map(int, private.primes))
    codec = FixedPoint(bits=data.draw(st.integers(2, 30)), bound=0.1, addends=data.draw(st.integers(2, 9)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = rng.integers(-codec.limit, codec.limit, 60, endpoint=True)
    vector = public.encrypt(values, codec)
    plaintexts = vector.packing.pack(values)
    assert [textbook.decrypt(int(c)) for c in vector.ciphertexts] == plaintexts
    theirs = [mpz(textbook.encrypt_to_usual_base(int(m))) for m in plaintexts]
    assert private.raw_decrypt(theirs) == plaintexts
    products = [a * b % public.nsquare for a, b in zip(theirs, vector.ciphertexts, strict=True)]
    np.testing.assert_array_equal(vector.packing.unpack(private.raw_decrypt(products), 60), 2 * values)
