from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from gmpy2 import gcd, jacobi, mpz, powmod

from fedlearn.crypto import FixedPoint, PublicKey, generate_keypair
from fedlearn.crypto.fixedbase import NO_TABLE, FixedBase, TableShape, choose_shape
from fedlearn.crypto.randomisers import (
    MEMORY_LIMIT,
    CrtRandomiser,
    DjnRandomiser,
    OrdinaryRandomiser,
    default_randomiser,
    djn_base,
)
from fedlearn.errors import CryptoKeyError

CODEC = FixedPoint(bits=16, bound=1.0, addends=4)
KINDS = {
    "ordinary": lambda private: OrdinaryRandomiser(private.public),
    "crt": CrtRandomiser,
    "djn, no table": lambda private: DjnRandomiser(private.public, expected=1),
    "djn, table": lambda private: DjnRandomiser(private.public, expected=5000),
    "djn, short": lambda private: DjnRandomiser(private.public, expected=50, exponent_bits=224),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def make(request):
    return request.param


def test_factors_are_fresh_nth_residues(toy, make):
    public, private = toy
    p, q = private.primes
    factors = make(private).factors(50)
    assert len(set(factors)) == 50
    for factor in factors:
        assert 0 < factor < public.nsquare
        # n-th residues modulo n^2 are the elements whose order divides (p - 1)(q - 1)
        assert powmod(factor, (p - 1) * (q - 1), public.nsquare) == 1
    assert make(private).factors(0) == []


def test_encryption_decrypts_to_the_same_values(toy, make):
    public, private = toy
    values = np.arange(-200, 200)
    np.testing.assert_array_equal(private.decrypt(public.encrypt(values, CODEC, make(private))), values)


def test_djn_base_is_derived_from_the_key_and_has_jacobi_symbol_one(keys):
    public, private = keys
    p, q = private.primes
    base = djn_base(public)
    assert base == djn_base(PublicKey.from_bytes(public.to_bytes()))
    root = base % public.n  # n-th powers are a bijection modulo n, so its symbol is that of h itself
    assert gcd(root, public.n) == 1
    assert jacobi(root, p) == jacobi(root, q) == -1  # minus a square, for primes = 3 (mod 4)


def test_the_table_follows_the_work_and_the_memory():
    assert choose_shape(1024, 512, 1, 1 << 27) == NO_TABLE
    shapes = [choose_shape(1024, 512, count, 1 << 40) for count in (20, 200, 2000, 20_000, 200_000)]
    work = [shape.multiplications for shape in shapes]
    assert work == sorted(set(work), reverse=True)  # the more powers are expected, the fewer multiplications for each
    entries = [shape.entries for shape in shapes]
    assert entries == sorted(set(entries))
    small, large = (choose_shape(1024, 512, 10**6, 1 << bits) for bits in (20, 27))
    assert small.entries < large.entries
    assert small.multiplications > large.multiplications
    assert choose_shape(1024, 512, 10**6, 100) == NO_TABLE
    assert choose_shape(1024, 512, 10**9, 1 << 40) == TableShape(64, 16, 1)  # digits of two bytes, nothing is squared
    sixteen = choose_shape(256, 512, 10**9, 16 * 688)
    assert sixteen == TableShape(1, 4, 64)  # by two rows for 3 bits each it would be 129 multiplications
    assert sixteen.multiplications == 128


def test_a_table_that_is_there_is_made_anew_only_where_that_pays():
    made = choose_shape(1024, 512, 2000, 1 << 27)
    assert choose_shape(1024, 512, 2500, 1 << 27, made) == made
    assert choose_shape(1024, 512, 10**6, 1 << 27, made).multiplications < made.multiplications


def test_table_memory_is_bounded_and_reported(toy):
    limit = 200_000
    randomiser = DjnRandomiser(toy[0], expected=10**6, memory_limit=limit)
    assert 0 < randomiser.table_bytes <= limit
    assert DjnRandomiser(toy[0], expected=1).table_bytes == 0


@pytest.mark.parametrize(
    "shape", [(0, 0, 0), (8, 1, 1), (1, 1, 8), (2, 2, 2), (1, 4, 2), (4, 1, 2), (1, 8, 1), (2, 5, 3)]
)
def test_fixed_base_powers_cover_the_exponents_evenly(shape):
    """A base of order 256 modulo 257^2: if exponents of 8 bits are uniform, so are its powers, all of them."""
    n = mpz(257)
    base = powmod(3, n, n**2)  # 3 generates the residues modulo 257
    powers = FixedBase(base, n, 8, TableShape(*shape)).random_powers(25_600)
    found = Counter(powers)
    counts = [found[powmod(base, e, n**2)] for e in range(256)]
    assert sum(counts) == 25_600
    assert sum((c - 100) ** 2 / 100 for c in counts) < 400  # chi square with 255 degrees of freedom, p < 1e-7


def test_short_exponents_have_a_least_length(keys):
    assert DjnRandomiser(keys[0], expected=1, exponent_bits=224).factors(1)
    with pytest.raises(CryptoKeyError, match="100 bits are too short for a 2048-bit key: at least 224"):
        DjnRandomiser(keys[0], expected=1, exponent_bits=100)


def test_keys_without_the_property_use_ordinary_randomisers(toy):
    plain = PublicKey(toy[0].n, blum=False, insecure_test_key=True)
    with pytest.raises(CryptoKeyError, match="OrdinaryRandomiser"):
        DjnRandomiser(plain, expected=10)
    assert isinstance(default_randomiser(plain, 10), OrdinaryRandomiser)
    assert isinstance(default_randomiser(toy[0], 10), DjnRandomiser)


def test_the_shared_table_is_kept_and_grows_with_demand(other_toy):
    public = other_toy[0]
    first = default_randomiser(public, 100)
    assert default_randomiser(public, 1) is first
    assert isinstance(first, DjnRandomiser)
    grown = default_randomiser(public, 100_000)
    assert isinstance(grown, DjnRandomiser)
    assert grown.shape.multiplications < first.shape.multiplications


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_a_first_call_takes_at_most_a_third_more_multiplications_than_with_the_best_table(bits):
    count, width = -(-100_000 // ((bits - 2) // 31)), bits // 4
    best = choose_shape(bits // 2, width, 10**9, MEMORY_LIMIT)
    shape = choose_shape(bits // 2, width, count + count // 2, MEMORY_LIMIT)
    made = shape.entries + bits // 2
    assert count * shape.multiplications + made <= 4 / 3 * count * best.multiplications


@pytest.mark.parametrize("small", [0, 1, 61])
def test_after_its_first_call_a_large_vector_has_a_table_nearly_as_good_as_the_best(small):
    """Whatever small calls came before: a second call takes at most a quarter more multiplications than the best."""
    public = generate_keypair(2048)[0]
    best = choose_shape(1024, public.ciphertext_bytes, 10**9, MEMORY_LIMIT)
    if small:
        default_randomiser(public, small)
    default_randomiser(public, 1516)  # 100,000 values
    second = default_randomiser(public, 1516)
    assert isinstance(second, DjnRandomiser)
    assert second.shape.multiplications <= 1.25 * best.multiplications
    assert default_randomiser(public, 1) is second  # the largest is kept
