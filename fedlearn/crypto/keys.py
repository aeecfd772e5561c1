"""Paillier keys (Paillier, EUROCRYPT 1999) made here and handed to `phe`'s key classes.

Primes are p = q = 3 (mod 4) with gcd(p - 1, q - 1) = 2, as the short-exponent randomiser of Damgard, Jurik and
Nielsen (2010, section 4.2) needs; such a key is called `blum`. Whoever holds the primes knows that property. Everyone
else is told by a flag in the public key's bytes, which is a claim of the key's owner and no more: it decides only how
fast others encrypt to that owner, who reads the result anyway, so a lie gains its teller nothing. What must not
happen is a stranger setting the flag on another's key; the key's bytes are therefore to be taken from where the key
itself is agreed upon, whole.
"""

from __future__ import annotations

import hashlib
import operator
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import gmpy2
import numpy as np
from gmpy2 import mpz

from fedlearn.crypto.checks import BYTES, given
from fedlearn.crypto.integers import width_of
from fedlearn.crypto.modexp import powers
from fedlearn.crypto.primes import blum_prime, is_prime
from fedlearn.defaults import KEY_BITS as KEY_BITS
from fedlearn.errors import CiphertextError, ComputationFault, CryptoKeyError
from fedlearn.wording import many

if TYPE_CHECKING:
    from fedlearn.crypto.codec import FixedPoint
    from fedlearn.crypto.vector import EncryptedVector

MIN_BITS = 2048  # 112-bit security; 3072 bits give 128 (NIST SP 800-57 part 1, table 2)
MAX_BITS = 16_384  # beyond 256-bit security; larger numbers only keep their reader busy
FINGERPRINT_BYTES = 16
_FORMAT = 1
_HEADER = struct.Struct(">BBH")  # format, flags, bytes of n
_BLUM = 1
_FAULT = "a decryption failed its check, so nothing of it is shown: the machine erred, or the key in memory changed"


def check_bits(bits: int, insecure_test_key: bool) -> None:
    """Refuse a modulus above `MAX_BITS`, or below `MIN_BITS` unless the caller says by name that the key is a toy."""
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)):
        raise CryptoKeyError(f"a key of {bits!r} bits: give an integer from {MIN_BITS} to {MAX_BITS}, 3072 if unsure")
    if bits > MAX_BITS:
        raise CryptoKeyError(f"a {bits}-bit Paillier key is too large: at most {MAX_BITS} bits, 3072 if unsure")
    if bits < MIN_BITS and not insecure_test_key:
        raise CryptoKeyError(
            f"a {bits}-bit Paillier key is too small: at least {MIN_BITS} bits, or insecure_test_key for tests"
        )


def _integer(number: Any, what: str) -> int:
    try:
        return int(operator.index(number))
    except TypeError:
        raise CryptoKeyError(f"{what} is a {type(number).__name__}: an integer is needed") from None


@dataclass(frozen=True)
class PublicKey:
    """The modulus n to encrypt to. Equal when n is equal.

    `blum`: its owner claims p = q = 3 (mod 4) and gcd(p - 1, q - 1) = 2 (see the module's text).
    Raises `CryptoKeyError` for a modulus that is too small or visibly not a product of two large primes.
    """

    n: int
    blum: bool = field(default=False, compare=False)
    insecure_test_key: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", _integer(self.n, "a modulus"))
        check_bits(self.bits, self.insecure_test_key)
        # one strong test shows every prime; on a prime of 16,384 bits `is_prime` would spend half a minute
        if self.n < 15 or self.n % 2 == 0 or gmpy2.is_square(self.n) or gmpy2.is_strong_prp(self.n, 2):
            raise CryptoKeyError(
                f"the {self.bits}-bit modulus is not a product of two odd primes: damaged or forged key, get it anew"
            )
        if not self.insecure_test_key and gmpy2.gcd(self.n, gmpy2.primorial(1 << 16)) != 1:
            raise CryptoKeyError(
                f"the {self.bits}-bit modulus has a factor below 65536: damaged or forged key, get it anew"
            )
        if self.blum and self.n % 4 != 1:
            raise CryptoKeyError(
                "the modulus is 3 (mod 4), but its flag claims primes that are both 3 (mod 4): get the key anew"
            )

    def __repr__(self) -> str:
        return f"<PublicKey of {self.bits} bits, fingerprint {self.fingerprint.hex()}>"

    @property
    def bits(self) -> int:
        """Length of n."""
        return self.n.bit_length()

    @cached_property
    def modulus(self) -> mpz:
        """n, ready for arithmetic."""
        return mpz(self.n)

    @cached_property
    def nsquare(self) -> mpz:
        """n^2, ready for arithmetic."""
        return self.modulus * self.modulus

    @cached_property
    def phe(self) -> Any:
        """The same key as a `phe.PaillierPublicKey`."""
        from phe import PaillierPublicKey

        return PaillierPublicKey(self.n)

    @cached_property
    def fingerprint(self) -> bytes:
        """The first 16 bytes of the SHA-256 of n (big endian, no leading zeros)."""
        return hashlib.sha256(self._n_bytes()).digest()[:FINGERPRINT_BYTES]

    @property
    def modulus_bytes(self) -> int:
        """Bytes that hold any residue modulo n."""
        return width_of(self.bits)

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes that hold any residue modulo n^2."""
        return width_of(2 * self.bits)

    def encrypt(self, values: np.ndarray, codec: FixedPoint, randomiser: Randomiser | None = None) -> EncryptedVector:
        """Encrypt an int64 array of any shape whose values `codec` made; see `EncryptedVector.encrypt`."""
        from fedlearn.crypto.vector import EncryptedVector

        return EncryptedVector.encrypt(self, values, codec, randomiser)

    def to_bytes(self) -> bytes:
        """Format, flags, length, n (big endian), fingerprint."""
        body = self._n_bytes()
        return _HEADER.pack(_FORMAT, _BLUM if self.blum else 0, len(body)) + body + self.fingerprint

    @classmethod
    def from_bytes(cls, data: bytes, *, insecure_test_key: bool = False) -> PublicKey:
        """Read `to_bytes`; raises `CryptoKeyError` for damaged bytes or a key that is unfit for use."""
        given("a public key", data, BYTES, CryptoKeyError)
        if len(data) < _HEADER.size:
            raise CryptoKeyError(
                f"a public key of {many(len(data), 'byte')} is shorter than its {_HEADER.size}-byte header"
            )
        version, flags, size = _HEADER.unpack_from(data)
        if version != _FORMAT or flags & ~_BLUM:
            raise CryptoKeyError(f"public key of format {version}, flags {flags}: this version reads format {_FORMAT}")
        if 8 * size > MAX_BITS:
            raise CryptoKeyError(
                f"a public key announces {many(size, 'byte')} of modulus: at most {MAX_BITS // 8:,} are read"
            )
        if len(data) != _HEADER.size + size + FINGERPRINT_BYTES:
            raise CryptoKeyError(
                f"a public key of {many(len(data), 'byte')} announces {many(size, 'byte')} of modulus: truncated"
            )
        body = data[_HEADER.size : _HEADER.size + size]
        if hashlib.sha256(body).digest()[:FINGERPRINT_BYTES] != data[_HEADER.size + size :]:
            raise CryptoKeyError("the public key does not match its fingerprint: damaged bytes")
        return cls(int.from_bytes(body, "big"), blum=bool(flags & _BLUM), insecure_test_key=insecure_test_key)

    def _n_bytes(self) -> bytes:
        return self.n.to_bytes(self.modulus_bytes, "big")


class Randomiser(Protocol):
    """A source of factors for one public key."""

    public: PublicKey

    def factors(self, count: int) -> list[mpz]:
        """`count` fresh secret n-th residues modulo n^2; a factor must hide one plaintext only."""
        ...


class PrivateKey:
    """The factors of n. Never shown by `repr`, never pickled; `fedlearn.crypto.keyfiles` stores them.

    Raises `CryptoKeyError` for numbers that are not two different primes fit for Paillier.
    """

    __slots__ = ("_p", "_q", "public")

    def __init__(self, p: int | mpz, q: int | mpz, *, insecure_test_key: bool = False):
        self._p, self._q = sorted(mpz(_integer(prime, "a prime")) for prime in (p, q))
        if self._q.bit_length() > MAX_BITS // 2:  # before it is tested, which takes seconds for twice the length
            raise CryptoKeyError(
                f"a prime of {self._q.bit_length()} bits is too large: at most {MAX_BITS // 2}, half of the largest key"
            )
        if self._p == self._q or not (is_prime(self._p) and is_prime(self._q)):
            raise CryptoKeyError("a Paillier private key needs two different primes: damaged key")
        if not hides(self._p, self._q):
            raise CryptoKeyError("n shares a factor with (p - 1)(q - 1), so that r^n would not hide: use other primes")
        blum = self._p % 4 == 3 and self._q % 4 == 3 and gmpy2.gcd(self._p - 1, self._q - 1) == 2
        self.public = PublicKey(int(self._p * self._q), blum=blum, insecure_test_key=insecure_test_key)

    @property
    def primes(self) -> tuple[mpz, mpz]:
        """p < q. Secret."""
        return self._p, self._q

    @property
    def phe(self) -> Any:
        """The same key as a `phe.PaillierPrivateKey`."""
        from phe import PaillierPrivateKey

        return PaillierPrivateKey(self.public.phe, int(self._p), int(self._q))

    def decrypt(self, vector: EncryptedVector) -> np.ndarray:
        """The exact int64 sum in `vector`, in its shape.

        Raises `CiphertextError` for a vector of another key, or if a plaintext is no sum of values of its codec.
        """
        from fedlearn.crypto.vector import EncryptedVector

        given("what is to be decrypted", vector, EncryptedVector, CiphertextError)
        if vector.public != self.public:
            raise CiphertextError(
                f"vector encrypted to key {vector.public.fingerprint.hex()}, "
                f"but this is {self.public.fingerprint.hex()}"
            )
        return vector.unpack(self.raw_decrypt(vector.ciphertexts))

    def raw_decrypt(self, ciphertexts: list[mpz]) -> list[mpz]:
        """Plaintexts modulo n, by Chinese remaindering (Paillier 1999, section 7), checked before any is returned.

        A plaintext that is right modulo one prime only shows both (Boneh, DeMillo, Lipton, EUROCRYPT 1997). So the
        product of all ciphertexts is decrypted beside them and must hold the sum of their plaintexts; see `_opened`
        for what is checked of each.

        Raises `ComputationFault` if the machine erred, `CiphertextError` for what shares a factor with n.
        """
        given("what is to be decrypted", ciphertexts, list, CiphertextError)
        if not ciphertexts:
            return []
        for ciphertext in ciphertexts:
            given("a ciphertext", ciphertext, (mpz, int), CiphertextError)
        n, nsquare = self.public.modulus, self.public.nsquare
        if self._p * self._q != n:
            raise ComputationFault(_FAULT)
        product = mpz(1)
        for ciphertext in ciphertexts:
            product = product * ciphertext % nsquare
        *plaintexts, total = self._opened([*ciphertexts, product])
        if (sum(plaintexts) - total) % n:
            raise ComputationFault(_FAULT)
        return plaintexts

    def _opened(self, ciphertexts: list[mpz]) -> list[mpz]:
        """Plaintexts m for which c^(prime - 1) = 1 - m n modulo the square of each prime.

        A power that went wrong is not even 1 modulo its prime, but for a chance of 1 in 2^1023, so that no m fits it;
        a wrong logarithm or recombination does not fit the right power. What fits is a wrong *base*: the right
        plaintext of another ciphertext.
        """
        n, p = self.public.modulus, self._p
        raised_p, raised_q = self._powers(p, ciphertexts), self._powers(self._q, ciphertexts)
        halves = zip(self._logarithms(p, raised_p), self._logarithms(self._q, raised_q), strict=True)
        p_inverse, q, p_square, q_square = gmpy2.invert(p, self._q), self._q, p * p, self._q * self._q
        plaintexts = [mp + p * ((mq - mp) * p_inverse % q) for mp, mq in halves]
        for plaintext, modulo_p, modulo_q in zip(plaintexts, raised_p, raised_q, strict=True):
            expected = 1 - plaintext * n
            if (modulo_p - expected) % p_square or (modulo_q - expected) % q_square:
                if any(gmpy2.gcd(c, n) != 1 for c in ciphertexts):
                    raise CiphertextError(
                        "a ciphertext shares a factor with n, so it is no encryption: ask for it anew"
                    )
                raise ComputationFault(_FAULT)
        return plaintexts

    def _powers(self, prime: mpz, ciphertexts: list[mpz]) -> list[mpz]:
        square = prime * prime
        return powers([c % square for c in ciphertexts], prime - 1, square)

    def _logarithms(self, prime: mpz, raised: list[mpz]) -> list[mpz]:
        """m modulo the prime. (1 + n)^(prime - 1) = 1 - n (mod prime^2), whose logarithm is -n / prime."""
        scale = gmpy2.invert(-(self.public.modulus // prime), prime)
        return [(x - 1) // prime * scale % prime for x in raised]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"<PrivateKey of {self.public.bits} bits, fingerprint {self.public.fingerprint.hex()}>"

    def __reduce__(self) -> Any:
        raise TypeError("a private key is not pickled, it stays in one process: write it to a key file instead")


def hides(p: mpz, q: mpz) -> bool:
    """True where r^n hides: n = pq of two different primes shares no factor with (p - 1)(q - 1)."""
    smaller, larger = sorted((p, q))
    return bool((larger - 1) % smaller)


def generate_keypair(bits: int = KEY_BITS, *, insecure_test_key: bool = False) -> tuple[PublicKey, PrivateKey]:
    """A fresh key of exactly `bits` bits: 3072 for 128-bit security, never below 2048 (`CryptoKeyError`).

    `insecure_test_key=True` permits toys of at least 64 bits, for tests.
    """
    check_bits(bits, insecure_test_key)
    if bits < 64:
        raise CryptoKeyError(f"a {bits}-bit key holds no lane: 64 bits is the least, even in a test")
    while True:
        p, q = blum_prime((bits + 1) // 2), blum_prime(bits // 2)
        # factors this close would fall to Fermat's method (FIPS 186-5, appendix A.1.3)
        apart = abs(p - q).bit_length() > bits // 2 - 100
        if apart and gmpy2.gcd(p - 1, q - 1) == 2 and hides(p, q):
            private = PrivateKey(p, q, insecure_test_key=insecure_test_key)
            return private.public, private
