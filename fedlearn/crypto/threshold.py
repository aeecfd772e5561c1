"""A Paillier key that nobody holds: t of n trustees together decrypt, fewer learn nothing.

A ciphertext is c = (1 + n m) r^n modulo n^2, and r modulo n is the n-th root of c modulo n: an RSA decryption with the
public exponent n, after which m is plain (Paillier, EUROCRYPT 1999: RSA[n, n] solves Class[n]). Trustees take that
root as Shoup, "Practical threshold signatures" (EUROCRYPT 2000), has t of n take any: n is a product of safe primes
2p' + 1 and 2q' + 1, and the exponent d = n^-1 modulo p'q' is shared by a random polynomial modulo p'q'. Trustee i
answers c^(2 D s_i) modulo n with D = (number of trustees)!; since D clears the denominators of the Lagrange
coefficients, t answers combine to w = r^(4 D^2) by integer exponents alone. With w anybody opens c: c^(4 D^2) w^(-n) =
1 + 4 D^2 m n modulo n^2.

All that is shown beside m is r of the sum, the product of the clients' own. It tells nothing of a client while the r of
another honest one looks random: then the product does too, whatever the first one's is. Short powers of h, as
`DjnRandomiser` takes, look random under the assumption that encryption with them rests on anyway. A dealer makes the
shares and must be trusted to forget the primes.
"""

from __future__ import annotations

import math
import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import gmpy2
import numpy as np
from gmpy2 import mpz

from fedlearn.checked import members, takes_plain
from fedlearn.configured import make_plain, whole_number
from fedlearn.crypto.equality import EqualityProof, Statement, prove, response_bits, verify
from fedlearn.crypto.framing import add_digest, strip_digest
from fedlearn.crypto.integers import integers_from_bytes, integers_to_bytes, width_of
from fedlearn.crypto.keys import FINGERPRINT_BYTES, KEY_BITS, PublicKey, check_bits, hides
from fedlearn.crypto.modexp import in_threads, powers
from fedlearn.crypto.primes import safe_prime
from fedlearn.crypto.vector import EncryptedVector, check_ciphertexts
from fedlearn.errors import CiphertextError, CryptoKeyError
from fedlearn.wording import many

MAX_TRUSTEES = 64
_KEY = struct.Struct(">BBBH")  # format, threshold, trustees, bytes of the public key
_SHARE = struct.Struct(f">BB{FINGERPRINT_BYTES}s")  # format, trustee, key
_PARTIAL = struct.Struct(f">BB{FINGERPRINT_BYTES}sI")  # format, trustee, key, ciphertexts
_FORMAT = 2


@dataclass(frozen=True)
class ThresholdKey:
    """The public part: the Paillier key, the threshold, and the values that check trustees' answers.

    `verification[i - 1]` is `generator`^(D s_i) modulo n for trustee i = 1, 2, ...; the generator is a square.
    """

    public: PublicKey
    threshold: int
    generator: mpz = field(repr=False)
    verification: tuple[mpz, ...] = field(repr=False)

    def __post_init__(self) -> None:
        make_plain(self)
        members("verification values", self.verification, mpz)
        check_parties(self.threshold, self.trustees)
        _check_residues([self.generator, *self.verification], self.public)

    @property
    def trustees(self) -> int:
        """Number of trustees."""
        return len(self.verification)

    @property
    def delta(self) -> int:
        """D = trustees!"""
        return math.factorial(self.trustees)

    @property
    def share_bits(self) -> int:
        """An upper bound on the bits of D s_i: s_i is below p'q' < n / 4."""
        return self.public.bits + self.delta.bit_length()

    @takes_plain
    def check_vector(self, vector: EncryptedVector) -> None:
        """Raise `CiphertextError` for a vector of another key."""
        if vector.public != self.public:
            raise CiphertextError(
                f"vector encrypted to key {vector.public.fingerprint.hex()}, "
                f"but the trustees' is {self.public.fingerprint.hex()}"
            )

    @takes_plain
    def verify(self, vector: EncryptedVector, partial: PartialDecryption, context: bytes) -> None:
        """Raise `CiphertextError` naming the trustee whose answer is not its share's power of every ciphertext."""
        self.check_vector(vector)
        who = f"the partial decryption of trustee {partial.trustee}"
        if partial.key != self.public.fingerprint or not 1 <= partial.trustee <= self.trustees:
            raise CiphertextError(f"{who} belongs to another key or to no trustee of {self.trustees}")
        if len(partial.powers) != (size := len(vector.ciphertexts)):
            raise CiphertextError(f"{who} answers {len(partial.powers)} of {many(size, 'ciphertext')}")
        try:
            _check_residues(partial.powers, self.public)
        except CiphertextError as error:
            raise CiphertextError(f"{who}: {error}") from None
        if not verify(self._statement(vector, partial.trustee, partial.powers, context), partial.proof):
            raise CiphertextError(f"{who} does not come with a valid proof: wrong or forged share")

    @takes_plain
    def combine(
        self, vector: EncryptedVector, partials: Iterable[PartialDecryption], context: bytes
    ) -> tuple[np.ndarray, dict[int, str]]:
        """The int64 sum in `vector` from the answers of at least `threshold` trustees, and who was rejected, why.

        Raises `CiphertextError` naming wrong and missing trustees if too few answers are right.
        """
        self.check_vector(vector)
        valid: dict[int, PartialDecryption] = {}
        rejected: dict[int, str] = {}
        for partial in members("partial decryptions", partials, PartialDecryption):
            try:
                self.verify(vector, partial, context)
                valid[partial.trustee] = partial
            except CiphertextError as error:
                rejected[partial.trustee] = str(error)
        if len(valid) < self.threshold:
            missing = sorted(set(range(1, self.trustees + 1)) - valid.keys() - rejected.keys())
            raise CiphertextError(
                f"{many(len(valid), 'valid partial decryption')}, {self.threshold} are needed; "
                f"missing trustees {missing}; rejected: {list(rejected.values())}"
            )
        return self.combine_verified(vector, list(valid.values())), rejected

    @takes_plain
    def combine_verified(
        self, vector: EncryptedVector, partials: Iterable[PartialDecryption], threads: int = 1
    ) -> np.ndarray:
        """The int64 sum in `vector` from answers of which each has passed `verify`; `CiphertextError` for too few."""
        right = {partial.trustee: partial for partial in members("partial decryptions", partials, PartialDecryption)}
        if len(right) < self.threshold:
            raise CiphertextError(f"{many(len(right), 'valid partial decryption')}, {self.threshold} are needed")
        chosen = sorted(right)[: self.threshold]
        return vector.unpack(self._plaintexts(vector, [right[trustee] for trustee in chosen], threads))

    def _plaintexts(self, vector: EncryptedVector, partials: list[PartialDecryption], threads: int = 1) -> list[mpz]:
        n, nsquare, scale = self.public.modulus, self.public.nsquare, 4 * self.delta**2
        residues = in_threads(threads, self._roots(partials), lambda part: powers(part, n, nsquare))
        plaintexts = []
        for ciphertext, residue in zip(vector.ciphertexts, residues, strict=True):
            quotient, rest = divmod(gmpy2.powmod(ciphertext, scale, nsquare) - residue, n)
            if rest:
                raise CiphertextError("the partial decryptions do not combine: they are not of these ciphertexts")
            plaintexts.append(quotient * gmpy2.invert(scale * residue, n) % n)
        return plaintexts

    def _roots(self, partials: list[PartialDecryption]) -> list[mpz]:
        """r^(4 D^2) modulo n of each ciphertext."""
        n, trustees = self.public.modulus, [partial.trustee for partial in partials]
        product = [mpz(1)] * len(partials[0].powers)
        for partial in partials:
            exponent = 2 * integer_lagrange(partial.trustee, trustees, self.delta)
            raised = gmpy2.powmod_base_list(partial.powers, exponent, n) if partial.powers else []
            product = [a * b % n for a, b in zip(product, raised, strict=True)]
        return product

    def _statement(self, vector: EncryptedVector, trustee: int, answers: list[mpz], context: bytes) -> Statement:
        header = bytes([trustee, self.threshold, self.trustees]) + context
        n, image = self.public.modulus, self.verification[trustee - 1]
        return Statement(n, self.generator, image, _residues(vector), answers, self.share_bits, header)

    def to_bytes(self) -> bytes:
        """Everything, with a digest that detects damage."""
        key = self.public.to_bytes()
        numbers = integers_to_bytes([self.generator, *self.verification], self.public.modulus_bytes)
        return add_digest(_KEY.pack(_FORMAT, self.threshold, self.trustees, len(key)) + key + numbers)

    @classmethod
    @takes_plain
    def from_bytes(cls, data: bytes, *, insecure_test_key: bool = False) -> ThresholdKey:
        """Read `to_bytes`; raises `CryptoKeyError` for damaged bytes or unfit values."""
        body = bytes(strip_digest(data, "a threshold key", CryptoKeyError))
        if len(body) < _KEY.size or body[0] != _FORMAT:
            raise CryptoKeyError(f"no threshold key of format {_FORMAT} in {many(len(data), 'byte')}: make a new one")
        _, threshold, trustees, size = _KEY.unpack_from(body)
        end = _KEY.size + size
        public = PublicKey.from_bytes(body[_KEY.size : end], insecure_test_key=insecure_test_key)
        width = public.modulus_bytes
        if len(body) != end + (trustees + 1) * width:
            raise CryptoKeyError(
                f"a threshold key of {many(len(data), 'byte')} is no key for {many(trustees, 'trustee')}: wrong length"
            )
        numbers = integers_from_bytes(body[end:], width)
        try:
            return cls(public, threshold, numbers[0], tuple(numbers[1:]))
        except CiphertextError as error:
            raise CryptoKeyError(f"a threshold key's verification values are unfit: {error}") from None


@dataclass(frozen=True)
class PartialDecryption:
    """A trustee's answer: each ciphertext to the power 2 D s_i modulo n, and one proof for all of them."""

    trustee: int
    key: bytes
    powers: list[mpz] = field(repr=False)
    proof: EqualityProof = field(repr=False)

    def __post_init__(self) -> None:
        make_plain(self)
        members("powers", self.powers, mpz)

    @takes_plain
    def to_bytes(self, threshold_key: ThresholdKey) -> bytes:
        """Fixed-width numbers and a digest that detects damage."""
        width, proof_width = threshold_key.public.modulus_bytes, _proof_bytes(threshold_key)
        header = _PARTIAL.pack(_FORMAT, self.trustee, self.key, len(self.powers))
        proof = integers_to_bytes([self.proof.challenge, self.proof.response], proof_width)
        return add_digest(header + proof + integers_to_bytes(self.powers, width))

    @classmethod
    @takes_plain
    def from_bytes(cls, data: bytes, threshold_key: ThresholdKey) -> PartialDecryption:
        """Read `to_bytes`; raises `CiphertextError` for damaged bytes. What they say is checked by `verify`."""
        body = bytes(strip_digest(data, "a partial decryption", CiphertextError))
        width, proof_width = threshold_key.public.modulus_bytes, _proof_bytes(threshold_key)
        if len(body) < _PARTIAL.size + 2 * proof_width or body[0] != _FORMAT:
            raise CiphertextError(f"no partial decryption of format {_FORMAT} in {many(len(data), 'byte')}")
        _, trustee, key, count = _PARTIAL.unpack_from(body)
        end = _PARTIAL.size + 2 * proof_width
        if len(body) != end + count * width:
            raise CiphertextError(f"no partial decryption of {many(count, 'ciphertext')} in {many(len(data), 'byte')}")
        proof = EqualityProof(*integers_from_bytes(body[_PARTIAL.size : end], proof_width))
        return cls(trustee, key, integers_from_bytes(body[end:], width), proof)


class KeyShare:
    """Trustee i's secret s_i. Never shown by `repr`, never pickled.

    Raises `CryptoKeyError` if the share does not belong to the key.
    """

    __slots__ = ("_value", "key", "trustee")

    def __init__(self, key: ThresholdKey, trustee: int, value: mpz):
        if not isinstance(key, ThresholdKey):
            raise CryptoKeyError(f"a share of {key!r:.60}, which is no threshold key")
        self.key, self.trustee = key, whole_number("trustee", trustee)
        self._value = mpz(whole_number("the share", value))
        if not 1 <= trustee <= key.trustees:
            raise CryptoKeyError(f"share of trustee {trustee}: the key has trustees 1 to {key.trustees}")
        if not 0 <= self._value < key.public.modulus or self._image() != key.verification[trustee - 1]:
            raise CryptoKeyError(f"the share of trustee {trustee} does not belong to this key")

    def _image(self) -> mpz:
        return powers([self.key.generator], self.key.delta * self._value, self.key.public.modulus)[0]

    @takes_plain
    def partial_decrypt(self, vector: EncryptedVector, context: bytes) -> PartialDecryption:
        """This trustee's answer for `vector`, proven for `context`: session, round and whatever it must not outlive."""
        key, secret = self.key, self.key.delta * self._value
        key.check_vector(vector)
        answers = powers(_residues(vector), 2 * secret, key.public.modulus)
        proof = prove(key._statement(vector, self.trustee, answers, context), secret)
        return PartialDecryption(self.trustee, key.public.fingerprint, answers, proof)

    def to_bytes(self) -> bytes:
        """Secret; to be kept by `keyfiles.write_secret`."""
        header = _SHARE.pack(_FORMAT, self.trustee, self.key.public.fingerprint)
        return add_digest(header + integers_to_bytes([self._value], self.key.public.modulus_bytes))

    @classmethod
    @takes_plain
    def from_bytes(cls, data: bytes, key: ThresholdKey) -> KeyShare:
        """Read `to_bytes`; raises `CryptoKeyError` for damaged bytes or a share of another key."""
        body = bytes(strip_digest(data, "a key share", CryptoKeyError))
        if len(body) != _SHARE.size + key.public.modulus_bytes or body[0] != _FORMAT:
            raise CryptoKeyError(f"no share of a {key.public.bits}-bit key in {many(len(data), 'byte')}")
        _, trustee, fingerprint = _SHARE.unpack_from(body)
        if fingerprint != key.public.fingerprint:
            raise CryptoKeyError(
                f"a share of key {fingerprint.hex()}, but key {key.public.fingerprint.hex()} is expected"
            )
        return cls(key, trustee, integers_from_bytes(body[_SHARE.size :], key.public.modulus_bytes)[0])

    def __reduce__(self) -> Any:
        raise TypeError("a key share is not pickled, it stays with its trustee: write it to a file instead")

    def __repr__(self) -> str:
        return f"<KeyShare of trustee {self.trustee}, key {self.key.public.fingerprint.hex()}>"


def deal(
    threshold: int, trustees: int, bits: int = KEY_BITS, *, insecure_test_key: bool = False
) -> tuple[ThresholdKey, list[KeyShare]]:
    """A fresh key and its shares, `threshold` of `trustees` needed; the primes are forgotten on return.

    Raises `CryptoKeyError` for less than 2048 bits (128 in tests), a threshold below 2 or above the trustees.
    """
    check_parties(threshold, trustees)
    check_bits(bits, insecure_test_key)
    if bits < 128:
        raise CryptoKeyError(f"a {bits}-bit threshold key is too small even for a test: 128 bits is the least")
    p, q = safe_prime((bits + 1) // 2), safe_prime(bits // 2)
    while p == q or not hides(p, q):
        q = safe_prime(bits // 2)
    public = PublicKey(int(p * q), blum=True, insecure_test_key=insecure_test_key)
    order = (p - 1) // 2 * ((q - 1) // 2)
    others = [mpz(secrets.randbelow(int(order))) for _ in range(threshold - 1)]
    polynomial = [gmpy2.invert(public.modulus, order), *others]
    values = [sum(a * i**power for power, a in enumerate(polynomial)) % order for i in range(1, trustees + 1)]
    generator = mpz(secrets.randbelow(public.n)) ** 2 % public.modulus
    delta = math.factorial(trustees)
    images = [powers([generator], delta * value, public.modulus)[0] for value in values]
    key = ThresholdKey(public, threshold, generator, tuple(images))
    return key, [KeyShare(key, i, value) for i, value in enumerate(values, start=1)]


@takes_plain
def check_parties(threshold: int, trustees: int) -> None:
    """Raise `CryptoKeyError` unless 2 <= threshold <= trustees <= `MAX_TRUSTEES`."""
    if not 2 <= threshold <= trustees <= MAX_TRUSTEES:
        raise CryptoKeyError(
            f"threshold {threshold} of {trustees}: at least 2, at most all trustees, who number at most {MAX_TRUSTEES}"
        )


def integer_lagrange(i: int, points: list[int], delta: int) -> int:
    """D times the Lagrange coefficient at 0 of point `i` among `points`: D * product of j / (j - i), an integer."""
    others = [j for j in points if j != i]
    return delta * math.prod(others) // math.prod(j - i for j in others)


def _residues(vector: EncryptedVector) -> list[mpz]:
    """The ciphertexts modulo n."""
    n = vector.public.modulus
    return [c % n for c in vector.ciphertexts]


def _check_residues(numbers: list[mpz], public: PublicKey) -> None:
    """Raise `CiphertextError` for numbers outside [1, n), or that share a factor with n."""
    if any(number >= public.modulus for number in numbers):
        raise CiphertextError("a number lies outside [1, n)")
    check_ciphertexts(numbers, public)


def _proof_bytes(key: ThresholdKey) -> int:
    return width_of(response_bits(key.share_bits))
