"""A machine that errs while it decrypts: nothing of a wrong result leaves, since one would show the factors of n."""

from __future__ import annotations

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from fedlearn.crypto import FixedPoint, generate_keypair, keys
from fedlearn.errors import CiphertextError, ComputationFault

CODEC = FixedPoint(bits=16, bound=1.0, addends=4)
VALUES = np.arange(-150, 150)


@pytest.fixture
def private():
    """A key of its own: some of these tests break it."""
    return generate_keypair(512, insecure_test_key=True)[1]


@pytest.fixture
def vector(private):
    return private.public.encrypt(VALUES, CODEC)


def flip(numbers, place, bit):
    return [number ^ (mpz(1) << bit) if at == place else number for at, number in enumerate(numbers)]


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("bit", [0, 7, 255, 256, 500])
@pytest.mark.parametrize("where", ["base", "power"])
def test_one_wrong_bit_in_one_half_is_found(private, vector, monkeypatch, half, place, bit, where):
    """place -1 is the check itself: a wrong one costs an answer, and tells nothing."""
    calls, honest = [], keys.powers

    def faulty(bases, exponent, modulus):
        calls.append(exponent)
        if len(calls) != half + 1:
            return honest(bases, exponent, modulus)
        wrong = place % len(bases)
        if where == "base":
            return honest([c % modulus for c in flip(bases, wrong, bit)], exponent, modulus)
        return [x % modulus for x in flip(honest(bases, exponent, modulus), wrong, bit)]

    monkeypatch.setattr(keys, "powers", faulty)
    with pytest.raises(ComputationFault, match="nothing of it is shown"):
        private.decrypt(vector)


def test_what_the_check_is_there_for(private, vector):
    """Without it, one plaintext that is wrong modulo p gives q away."""
    _, q = private.primes
    right = private.raw_decrypt(vector.ciphertexts)[0]
    wrong = (right + q * 12345) % private.public.n  # right modulo q alone
    assert gmpy2.gcd(wrong - right, private.public.n) == q


@pytest.mark.parametrize("prime", ["_p", "_q"])
@pytest.mark.parametrize("bit", [0, 1, 50, 51, 52, 53, 54, 255])
def test_a_prime_that_changed_in_memory_is_found(private, vector, prime, bit):
    setattr(private, prime, getattr(private, prime) ^ (1 << bit))
    with pytest.raises(ComputationFault):
        private.decrypt(vector)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_wrong_inverse_is_found(private, vector, monkeypatch, which):
    """Those of the logarithms and of the recombination: wrong in the same way for every ciphertext."""
    calls, honest = [], gmpy2.invert

    def faulty(number, modulus):
        calls.append(number)
        return honest(number, modulus) ^ (4 if len(calls) == which + 1 else 0)

    monkeypatch.setattr(keys.gmpy2, "invert", faulty)
    with pytest.raises(ComputationFault):
        private.decrypt(vector)
    assert len(calls) == 3


def test_a_machine_that_does_not_err_is_not_accused(private):
    for size in (1, 15, 16, 400):
        values = np.arange(size)
        np.testing.assert_array_equal(private.decrypt(private.public.encrypt(values, CODEC)), values)


def test_what_is_no_encryption_is_not_called_a_fault_of_the_machine(private, vector):
    vector.ciphertexts[1] = private.primes[0] * 3
    with pytest.raises(CiphertextError, match="shares a factor"):
        private.decrypt(vector)
