"""One short proof that many powers were taken with the same secret exponent, without showing it.

The proof of equal discrete logarithms of Shoup, "Practical Threshold Signatures" (EUROCRYPT 2000, section 2.2), made
once for a whole list of bases by the small-exponent test of Bellare, Garay, Rabin, "Fast batch verification" (EUROCRYPT
1998): bases and results are multiplied together with random 128-bit exponents. Both ask for a group whose order has
no small prime factor; squares modulo n form one where n is a product of safe primes. Challenges come from
SHAKE-256 over everything that is stated (Fiat, Shamir).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import gmpy2
from gmpy2 import mpz

from fedlearn.checked import members, takes_plain
from fedlearn.configured import make_plain
from fedlearn.crypto.integers import integers_to_bytes, width_of
from fedlearn.crypto.modexp import powers

COEFFICIENT_BITS = 128  # a false statement passes with a probability of 2^-128
CHALLENGE_BITS = 128
_HIDING_BITS = 128  # by how much the commitment's exponent outgrows what it hides
_BUCKET_BITS = 6  # of exponents at a time: near the best for some hundred bases


@dataclass(frozen=True)
class Statement:
    """results[j]^2 = bases[j]^(4 s) and image = generator^s modulo `modulus`, for one secret s of `bits` bits.

    `context` is hashed into the proof, which holds for nothing else.
    """

    modulus: mpz
    generator: mpz
    image: mpz
    bases: list[mpz]
    results: list[mpz]
    bits: int
    context: bytes

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("bases", "results"):
            members(name, getattr(self, name), mpz)


@dataclass(frozen=True)
class EqualityProof:
    """Challenge and response."""

    challenge: mpz
    response: mpz

    def __post_init__(self) -> None:
        make_plain(self)


@takes_plain
def response_bits(bits: int) -> int:
    """Length of an honest response about a secret of `bits` bits."""
    return bits + CHALLENGE_BITS + _HIDING_BITS + 1


@takes_plain
def prove(statement: Statement, secret: mpz) -> EqualityProof:
    """A proof by who knows the secret exponent s."""
    seed = _seed(statement)
    base = _product(statement.bases, 4, seed, statement.modulus)
    hiding = mpz(secrets.randbits(response_bits(statement.bits) - 1))
    first, second = powers([base, statement.generator], hiding, statement.modulus)  # who learns `hiding` has `secret`
    challenge = _challenge(statement, seed, first, second)
    return EqualityProof(challenge, hiding + challenge * secret)


@takes_plain
def verify(statement: Statement, proof: EqualityProof) -> bool:
    """True if the proof holds for the statement."""
    modulus, challenge, response = statement.modulus, proof.challenge, proof.response
    if challenge >> CHALLENGE_BITS or response >> response_bits(statement.bits):
        return False
    seed = _seed(statement)
    base = _product(statement.bases, 4, seed, modulus)
    result = _product(statement.results, 2, seed, modulus)
    first = gmpy2.powmod(base, response, modulus) * gmpy2.powmod(result, -challenge, modulus) % modulus
    image = gmpy2.powmod(statement.image, -challenge, modulus)
    second = gmpy2.powmod(statement.generator, response, modulus) * image % modulus
    return bool(challenge == _challenge(statement, seed, first, second))


def _seed(statement: Statement) -> bytes:
    """A hash of all that is stated."""
    numbers = [statement.modulus, statement.generator, statement.image, *statement.bases, *statement.results]
    header = b"fedlearn/equality/1" + len(statement.bases).to_bytes(8, "big") + statement.context
    framed = len(header).to_bytes(8, "big") + header + integers_to_bytes(numbers, _width(statement.modulus))
    return hashlib.shake_256(framed).digest(32)


def _product(numbers: list[mpz], power: int, seed: bytes, modulus: mpz) -> mpz:
    """(product of numbers[j]^c_j)^power for the coefficients c_j that follow from `seed`."""
    drawn = coefficients(b"coefficients" + seed, len(numbers))
    return gmpy2.powmod(multi_power(numbers, drawn, modulus), power, modulus)


def _challenge(statement: Statement, seed: bytes, first: mpz, second: mpz) -> mpz:
    commitment = integers_to_bytes([first, second], _width(statement.modulus))
    return mpz.from_bytes(hashlib.shake_256(b"challenge" + seed + commitment).digest(CHALLENGE_BITS // 8), "big")


def _width(modulus: mpz) -> int:
    return width_of(modulus.bit_length())


def coefficients(seed: bytes, count: int) -> list[int]:
    """Numbers of `COEFFICIENT_BITS` bits that follow from a hash of `seed`, by which statements are joined to one."""
    size = COEFFICIENT_BITS // 8
    stream = hashlib.shake_256(seed).digest(size * count)
    return [int.from_bytes(stream[at : at + size], "big") for at in range(0, len(stream), size)]


def multi_power(bases: list[mpz], exponents: list[int], modulus: mpz) -> mpz:
    """The product of bases[j]^exponents[j], by Pippenger's buckets."""
    top = max((exponent.bit_length() for exponent in exponents), default=0)
    product = mpz(1)
    for shift in reversed(range(0, top, _BUCKET_BITS)):
        product = gmpy2.powmod(product, 1 << _BUCKET_BITS, modulus)
        buckets = [mpz(1)] * (1 << _BUCKET_BITS)
        for base, exponent in zip(bases, exponents, strict=True):
            digit = (exponent >> shift) & ((1 << _BUCKET_BITS) - 1)
            buckets[digit] = buckets[digit] * base % modulus
        running = mpz(1)
        for bucket in reversed(buckets[1:]):  # bucket d ends up in d of the products
            running = running * bucket % modulus
            product = product * running % modulus
    return product
