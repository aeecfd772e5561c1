"""The proof that ciphertexts hold the plaintexts that their key's owner says."""

from __future__ import annotations

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from fedlearn.crypto import FixedPoint, generate_keypair, openings
from fedlearn.crypto.keys import PrivateKey
from fedlearn.errors import ComputationFault

CODEC = FixedPoint(bits=12, bound=1.0, addends=5)
CONTEXT = b"round 1"


@pytest.fixture(scope="module")
def pair():
    return generate_keypair(512, insecure_test_key=True)


@pytest.fixture(scope="module")
def opened(pair):
    public, private = pair
    ciphertexts = public.encrypt(np.arange(200), CODEC).ciphertexts
    return ciphertexts, private.raw_decrypt(ciphertexts)


def test_right_plaintexts_are_shown(pair, opened):
    public, private = pair
    for some in (slice(0, 1), slice(0, 3), slice(None)):
        ciphertexts, plaintexts = (values[some] for values in opened)
        root = openings.prove(private, ciphertexts, plaintexts, CONTEXT)
        assert 0 < root < public.n
        assert openings.verify(public, ciphertexts, plaintexts, root, CONTEXT)


def test_a_proof_is_the_same_in_every_version():
    """From one key, 3 and 5 as ciphertexts: the root is one number, and another reading of the hash gives another."""
    private = PrivateKey(gmpy2.next_prime(3 << 126), gmpy2.next_prime(7 << 125), insecure_test_key=True)
    ciphertexts = [mpz(3), mpz(5)]
    root = openings.prove(private, ciphertexts, private.raw_decrypt(ciphertexts), CONTEXT)
    assert root == 0x9E992C1C013770A314709DB00A31E943E3E1DF7BC78210888C7359F0A838D2F8


@pytest.mark.parametrize("place", [0, 2, -1])
@pytest.mark.parametrize("change", ["one", "a lane", "p", "q", "negated"])
def test_no_other_plaintext_is(place, change, pair, opened):
    public, private = pair
    p, q = private.primes
    ciphertexts, plaintexts = opened[0], list(opened[1])
    right = plaintexts[place]
    other = {"one": right + 1, "a lane": right + (1 << 15), "p": right + p, "q": right + q, "negated": -right - 1}
    plaintexts[place] = other[change] % public.n
    for stated in (plaintexts, opened[1]):  # the root of what is stated, and that of the truth
        root = openings.prove(private, ciphertexts, stated, CONTEXT)
        assert not openings.verify(public, ciphertexts, plaintexts, root, CONTEXT)


def test_errors_that_cancel_and_swapped_plaintexts_are_seen(pair, opened):
    public, private = pair
    ciphertexts, plaintexts = opened
    cancelling = [(plaintexts[0] + 1) % public.n, (plaintexts[1] - 1) % public.n, *plaintexts[2:]]
    swapped = [plaintexts[1], plaintexts[0], *plaintexts[2:]]
    for stated in (cancelling, swapped):
        root = openings.prove(private, ciphertexts, stated, CONTEXT)
        assert not openings.verify(public, ciphertexts, stated, root, CONTEXT)


def test_a_proof_is_of_one_context_and_one_root(pair, opened):
    public, private = pair
    ciphertexts, plaintexts = opened
    root = openings.prove(private, ciphertexts, plaintexts, CONTEXT)
    assert not openings.verify(public, ciphertexts, plaintexts, root, b"round 2")
    for other in (mpz(0), mpz(1), root + 1, public.n - root, gmpy2.powmod(root, 2, public.n)):
        assert not openings.verify(public, ciphertexts, plaintexts, other, CONTEXT)


def test_a_root_that_is_wrong_modulo_one_prime_is_not_shown(pair, opened, monkeypatch):
    """It would show both: the greatest common divisor of n and its error is a prime."""
    _, private = pair
    right = openings.powers
    monkeypatch.setattr(
        openings, "powers", lambda bases, exponent, modulus: [
            x + (modulus == private.primes[1]) for x in right(bases, exponent, modulus)
        ],
    )  # fmt: skip
    with pytest.raises(ComputationFault):
        openings.prove(private, *opened, CONTEXT)
