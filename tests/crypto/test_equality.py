"""A proof of equal exponents has one range of responses: another that satisfies the same equations is none."""

from __future__ import annotations

from dataclasses import replace

import gmpy2
import pytest
from gmpy2 import mpz

from fedlearn.crypto.equality import CHALLENGE_BITS, EqualityProof, Statement, prove, response_bits, verify
from fedlearn.errors import BadInput

BITS = 96


def safe_prime(start: int) -> mpz:
    """The next prime p for which (p - 1) / 2 is prime, too."""
    half = gmpy2.next_prime(start)
    while not gmpy2.is_prime(2 * half + 1):
        half = gmpy2.next_prime(half)
    return 2 * half + 1


P, Q = safe_prime(1 << 46), safe_prime(3 << 45)
MODULUS = (P * Q) ** 2
ORDER = P * Q * (P - 1) // 2 * (Q - 1) // 2  # of the squares modulo MODULUS
SECRET = mpz(0x1234_5678_9ABC_DEF0)
GENERATOR = mpz(3) ** 4 % MODULUS
BASES = [mpz(5), mpz(7)]
STATEMENT = Statement(
    MODULUS,
    GENERATOR,
    gmpy2.powmod(GENERATOR, SECRET, MODULUS),
    BASES,
    [gmpy2.powmod(base, 2 * SECRET, MODULUS) for base in BASES],
    BITS,
    b"here",
)


def test_an_honest_proof_holds_and_for_nothing_else():
    proof = prove(STATEMENT, SECRET)
    assert verify(STATEMENT, proof)
    assert not verify(replace(STATEMENT, context=b"there"), proof)
    assert not verify(replace(STATEMENT, image=STATEMENT.image * GENERATOR % MODULUS), proof)


@pytest.mark.parametrize("turns", [-1, 1])
def test_a_response_out_of_range_is_refused_though_all_equations_hold(turns):
    """Who knows the order of the group could add it as often as it likes."""
    proof = prove(STATEMENT, SECRET)
    rounds = turns * ((1 << response_bits(BITS)) // ORDER + 1)
    other = EqualityProof(proof.challenge, proof.response + rounds * ORDER)
    assert gmpy2.powmod(GENERATOR, other.response, MODULUS) == gmpy2.powmod(GENERATOR, proof.response, MODULUS)
    assert not verify(STATEMENT, other)


def test_a_response_within_range_that_differs_by_the_order_still_holds():
    """So it is the range alone that refuses the one before."""
    proof = prove(STATEMENT, SECRET)
    turn = -ORDER if proof.response > ORDER else ORDER
    assert verify(STATEMENT, EqualityProof(proof.challenge, proof.response + turn))


def test_a_challenge_out_of_range_is_refused():
    proof = prove(STATEMENT, SECRET)
    assert not verify(STATEMENT, EqualityProof(proof.challenge + (1 << CHALLENGE_BITS), proof.response))


def test_a_response_is_as_long_as_every_version_expects():
    """Challenge and hiding are of 128 bits each; a longer one would be refused by parties of another version."""
    assert response_bits(BITS) == BITS + 128 + 128 + 1


def test_a_proof_is_the_same_in_every_version(monkeypatch):
    """What hides the secret is 128 bits longer than challenge times secret; from one such number follows one proof."""
    asked = []
    monkeypatch.setattr("secrets.randbits", lambda bits: asked.append(bits) or 0x1234_5678_9ABC)
    proof = prove(STATEMENT, SECRET)
    assert asked == [BITS + 128 + 128]
    assert proof.challenge == 0x769D148133AAAE223FC02790D089809A
    assert proof.response == 0x1234_5678_9ABC + proof.challenge * SECRET


@pytest.mark.parametrize("name", ["bases", "results"])
def test_a_statement_is_about_big_integers(name):
    with pytest.raises(BadInput, match=f"of {name} one is 5, a mpz is needed"):
        replace(STATEMENT, **{name: [mpz(7), 5]})
