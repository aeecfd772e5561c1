"""What is drawn for keys, and drawn again where it does not fit."""

from __future__ import annotations

import secrets

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from fedlearn.crypto import FixedPoint, keys, primes, threshold
from fedlearn.crypto.fixedbase import NO_TABLE, FixedBase, TableShape
from fedlearn.crypto.keys import generate_keypair
from fedlearn.crypto.randomisers import CrtRandomiser, OrdinaryRandomiser
from fedlearn.crypto.threshold import deal
from fedlearn.errors import CiphertextError, CryptoKeyError
from tests.crypto.known import PUBLIC

VECTOR = PUBLIC.encrypt(np.arange(3), FixedPoint(12, 1.0, 20))


def blum_from(start: int) -> mpz:
    """The first prime of 3 (mod 4) from there."""
    prime = gmpy2.next_prime(start)
    while prime % 4 != 3:
        prime = gmpy2.next_prime(prime)
    return prime


def in_turn(monkeypatch, module, name: str, drawn: list[mpz]) -> None:
    """Let the next draws of primes be these."""
    left = iter(drawn)
    monkeypatch.setattr(module, name, lambda bits: next(left))


def test_primes_that_do_not_fit_each_other_are_drawn_again(monkeypatch):
    """Too close by a bit; apart as they must be; a third factor in common; one that divides the other less 1."""
    first = blum_from(3 << 254)
    close, apart = blum_from(first + (1 << 155)), blum_from(first + (1 << 156))
    while gmpy2.gcd(first - 1, close - 1) != 2:
        close = blum_from(close)
    while gmpy2.gcd(first - 1, apart - 1) != 2:
        apart = blum_from(apart)
    assert close - first < 1 << 156 <= apart - first
    in_turn(monkeypatch, keys, "blum_prime", [first, first, close, first, first, apart])
    assert set(generate_keypair(512, insecure_test_key=True)[1].primes) == {first, apart}

    triple = blum_from(first + (1 << 200))
    while gmpy2.gcd(first - 1, triple - 1) <= 2:
        triple = blum_from(triple)
    multiple = 2 * first + 1
    while not gmpy2.is_prime(multiple) or multiple % 4 != 3 or gmpy2.gcd(first - 1, multiple - 1) != 2:
        multiple += 2 * first
    in_turn(monkeypatch, keys, "blum_prime", [first, triple, first, multiple, multiple, first, apart, first])
    assert set(generate_keypair(512, insecure_test_key=True)[1].primes) == {first, apart}


def test_safe_primes_that_do_not_fit_each_other_are_drawn_again(monkeypatch):
    p, q = (primes.safe_prime(80) for _ in range(2))
    for _ in range(6):
        in_turn(monkeypatch, threshold, "safe_prime", [p, p, q])
        key, _ = deal(2, 3, 160, insecure_test_key=True)
        assert key.public.n == p * q
        assert gmpy2.jacobi(key.generator, p) == gmpy2.jacobi(key.generator, q) == 1  # a square, as the proofs need


@pytest.mark.parametrize(("parties", "bits"), [((1, 3), 160), ((2, 65), 160), ((2, 3), 127), ((2, 3), 16_385)])
def test_a_shared_key_that_cannot_be_is_refused_before_primes_are_drawn(parties, bits, monkeypatch):
    """At full size that takes minutes."""
    in_turn(monkeypatch, threshold, "safe_prime", [])
    with pytest.raises(CryptoKeyError, match=r"^threshold \d of|^a \d+-bit"):
        deal(*parties, bits, insecure_test_key=True)


@pytest.mark.parametrize("bits", [128, 129])
def test_keys_of_trustees_have_their_length(bits):
    key, _ = deal(2, 3, bits, insecure_test_key=True)
    assert key.public.bits == bits
    with pytest.raises(CiphertextError, match="vector encrypted to key"):
        key.combine(VECTOR, [], b"")


def test_every_bit_of_a_prime_is_drawn_but_for_two_at_either_end():
    drawn = [int(primes.blum_prime(40)) for _ in range(60)]
    ones, zeros = 0, 0
    for prime in drawn:
        ones, zeros = ones | prime, zeros | ~prime
    assert (ones & zeros) & ((1 << 38) - 4) == (1 << 38) - 4


@pytest.mark.parametrize("bits", [*[24] * 12, 25, 40, 41, 47, 64, 65, 66, 96, 97])
def test_safe_primes_have_their_length_and_begin_with_two_ones(bits):
    prime = primes.safe_prime(bits)
    assert prime >> (bits - 2) == 3
    assert gmpy2.is_prime(prime)
    assert gmpy2.is_prime((prime - 1) // 2)


def test_the_sieve_leaves_what_has_no_small_factor_and_nothing_else():
    start = mpz(secrets.randbits(100)) | 1 << 99
    left = primes._sieve(start)
    product = gmpy2.primorial(primes._SIEVE_LIMIT - 1)
    free = [x for x in range(800) if gmpy2.gcd((start + x) * (2 * (start + x) + 1), product) == 1]
    assert free == left[left < 800].tolist()


def test_shares_of_a_key_are_below_the_order_of_the_squares():
    """They are drawn modulo p'q', so that each says as much about the secret as any other number."""
    key, shares = deal(20, 20, 128, insecure_test_key=True)
    values = [int.from_bytes(share.to_bytes()[18 : 18 + 16], "little") for share in shares]
    assert max(values) < key.public.n // 4
    assert len(set(values)) == 20
    assert gmpy2.jacobi(key.generator, key.public.n) == 1


def test_ordinary_factors_are_powers_of_units(toy):
    public, private = toy
    for source in (OrdinaryRandomiser(public), CrtRandomiser(private)):
        factors = source.factors(5)
        assert len(set(factors)) == 5
        for factor in factors:
            assert private.raw_decrypt([factor]) == [0]


@pytest.mark.parametrize("prime", [3, 7])
def test_units_are_drawn_from_all_of_1_to_below_the_modulus(prime, monkeypatch):
    """Bounds of the draws: of r^n over Z_n, and modulo either prime for who holds both."""
    asked = []
    monkeypatch.setattr(secrets, "randbelow", lambda bound: asked.append(bound) or bound - 1)
    private = keys.PrivateKey(prime, 11, insecure_test_key=True)
    OrdinaryRandomiser(private.public).factors(1)
    CrtRandomiser(private).factors(1)
    assert asked == [11 * prime - 1, prime - 1, 10]


@pytest.mark.parametrize("shape", [NO_TABLE, TableShape(2, 3, 4), TableShape(3, 8, 1), TableShape(1, 16, 2)])
def test_powers_of_a_table_are_those_of_its_random_exponents(toy, shape, monkeypatch):
    """Each window of bits goes to its place: the exponent that the bytes stand for, taken at once, gives the same."""
    n, base = toy[0].modulus, mpz(12345)
    drawn = secrets.token_bytes(2 * 3 * max(1, shape.steps * shape.rows))
    monkeypatch.setattr(secrets, "token_bytes", lambda size: drawn[:size])
    monkeypatch.setattr(secrets, "randbits", lambda bits: 77)
    bits = shape.rows * shape.window * shape.steps or 24
    found = FixedBase(base, n, bits, shape).random_powers(3)
    if shape == NO_TABLE:
        assert found == [pow(base, 77, n**2)] * 3
        assert FixedBase(base, n, bits, shape).random_powers(0) == []
        return
    words = np.frombuffer(drawn, "<u2").reshape(3, shape.steps, shape.rows) & ((1 << shape.window) - 1)
    for power, steps in zip(found, words.tolist(), strict=True):
        exponent = 0
        for step, digits in enumerate(steps):
            for row, digit in enumerate(digits):
                for bit in range(shape.window):
                    if digit >> bit & 1:
                        exponent += 1 << (shape.steps * (shape.window * row + bit) + shape.steps - 1 - step)
        assert power == pow(base, exponent, n**2)


def test_the_memory_of_a_table_is_that_of_its_pairs(toy):
    """Two numbers below n and two Python objects an entry."""
    made = FixedBase(mpz(5), mpz(2) ** 511 + 1, 24, TableShape(3, 2, 4))
    assert made.table_bytes == 3 * 4 * (2 * 64 + 176)
    assert FixedBase(mpz(5), mpz(2) ** 512 + 1, 24, TableShape(3, 2, 4)).table_bytes == 3 * 4 * (2 * 65 + 176)


def test_values_of_32_bits_are_held_in_32():
    assert FixedPoint(32, 1.0, 1).dtype == np.int32
    assert FixedPoint(33, 1.0, 1).dtype == np.int64
