"""A vector of integers under Paillier encryption, many to a ciphertext, which adds without being read."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import gmpy2
import numpy as np
from gmpy2 import mpz

from fedlearn.crypto.checks import BYTES, array_of, given, whole
from fedlearn.crypto.codec import CODEC_BYTES, FixedPoint
from fedlearn.crypto.framing import DIGEST_BYTES, add_digest, strip_digest
from fedlearn.crypto.integers import integers_from_bytes, integers_to_bytes
from fedlearn.crypto.keys import FINGERPRINT_BYTES, PublicKey, Randomiser
from fedlearn.crypto.packing import LanePacking
from fedlearn.crypto.randomisers import default_randomiser
from fedlearn.errors import CiphertextError, CodecError, CryptoKeyError, ShapeError
from fedlearn.parts import shared_out
from fedlearn.showing import facts
from fedlearn.wording import many

MAX_DIMENSIONS, MAX_LENGTH = 32, (1 << 48)
_FORMAT = 1
_HEADER = struct.Struct(f">B{FINGERPRINT_BYTES}s{CODEC_BYTES}sIB")  # format, key, codec, addends, dimensions


@dataclass(eq=False)
class EncryptedVector:
    """Values of `codec`, encrypted to `public`; `+` adds, `*` multiplies by a small public integer.

    `addends` is how many encoded values each lane may hold the sum of: 1 when fresh, at most `codec.addends`.
    `ciphertexts` are plain Paillier ciphertexts in [1, n^2), each of `packing.lanes` values.
    """

    public: PublicKey
    codec: FixedPoint
    shape: tuple[int, ...]
    addends: int
    ciphertexts: list[mpz] = field(repr=False)

    def _repr_html_(self) -> str:
        size = len(self.ciphertexts) * self.public.ciphertext_bytes
        return facts(
            f"EncryptedVector of shape {self.shape}, which only the key's holder can read",
            {
                "ciphertexts": f"{len(self.ciphertexts):,} of {self.public.bits} bits, {many(size, 'byte')}",
                "key": self.public.fingerprint.hex(),
                "addends": f"{self.addends} of at most {self.codec.addends}",
                "codec": self.codec,
            },
        )

    @classmethod
    def encrypt(
        cls, public: PublicKey, values: np.ndarray, codec: FixedPoint, randomiser: Randomiser | None = None
    ) -> EncryptedVector:
        """Encrypt an int64 array of any shape, |value| <= `codec.limit` (else `CodecError`)."""
        given("the public key", public, PublicKey, CryptoKeyError)
        given("the codec", codec, FixedPoint, CodecError)
        values = array_of(values)
        if values.dtype != np.int64:
            raise CodecError(f"only int64 is encrypted, not {values.dtype}: encode it with the codec first")
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        if max(-low, high) > codec.limit:
            worst = low if -low > high else high
            raise CodecError(
                f"{worst} does not fit {many(codec.bits, 'signed bit')}, at most {codec.limit}: use more bits"
            )
        plaintexts = LanePacking(codec.lane_bits, public.modulus).pack(values.ravel())
        factors = _factors(public, len(plaintexts), randomiser)
        n = public.modulus
        # with r^n = low + n high: (1 + n m) r^n = low + n (high + low m) modulo n^2, no product of full width
        ciphertexts = [
            low + n * ((high + low * plaintext) % n)
            for plaintext, (high, low) in zip(plaintexts, (divmod(factor, n) for factor in factors), strict=True)
        ]
        return cls(public, codec, values.shape, 1, ciphertexts)

    @property
    def packing(self) -> LanePacking:
        """The packing of values in plaintexts."""
        return LanePacking(self.codec.lane_bits, self.public.modulus)

    def __len__(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the ciphertexts, without the header."""
        return len(self.ciphertexts) * self.public.ciphertext_bytes

    __array_ufunc__ = None  # or `array + vector` would add an object to every number of the array

    def __add__(self, other: EncryptedVector) -> EncryptedVector:
        if not isinstance(other, EncryptedVector):
            return NotImplemented
        total = EncryptedVector(self.public, self.codec, self.shape, self.addends, list(self.ciphertexts))
        total += other
        return total

    def __iadd__(self, other: EncryptedVector) -> EncryptedVector:
        """Add in place. Raises `CryptoKeyError`, `CodecError` or `ShapeError` if the two do not fit."""
        if not isinstance(other, EncryptedVector):
            return NotImplemented
        if self.public != other.public:
            raise CryptoKeyError(
                f"vectors encrypted to keys {self.public.fingerprint.hex()} and {other.public.fingerprint.hex()} "
                "cannot be added: encrypt both to one"
            )
        if self.codec != other.codec:
            raise CodecError(f"vectors of different codecs cannot be added: {self.codec} and {other.codec}")
        if self.shape != other.shape:
            raise ShapeError(f"encrypted vectors of shapes {self.shape} and {other.shape} cannot be added")
        addends = self._lanes_for(self.addends + other.addends)
        mine, nsquare = self.ciphertexts, self.public.nsquare
        for index, ciphertext in enumerate(other.ciphertexts):
            mine[index] = mine[index] * ciphertext % nsquare
        self.addends = addends
        return self

    def __radd__(self, start: int) -> EncryptedVector:
        """Let the built-in `sum` start from 0."""
        return self if isinstance(start, int) and start == 0 else NotImplemented

    @classmethod
    def sum(cls, vectors: Iterable[EncryptedVector]) -> EncryptedVector:
        """Add vectors as they come: memory of one, not of all. Raises `CodecError` when there is none."""
        given("what is to be summed", vectors, Iterable, CodecError)
        stream = iter(vectors)
        first = next(stream, None)
        if first is None:
            raise CodecError("no encrypted vector to sum: at least one is needed")
        given("what is to be summed", first, EncryptedVector, CodecError)
        total = cls(first.public, first.codec, first.shape, first.addends, list(first.ciphertexts))
        for vector in stream:
            given("what is to be summed", vector, EncryptedVector, CodecError)
            total += vector
        return total

    def __mul__(self, factor: int) -> EncryptedVector:
        """Multiply by a public integer, not 0, and re-randomise; takes |factor| times the addends."""
        if isinstance(factor, bool) or not isinstance(factor, (int, np.integer)):
            return NotImplemented
        factor = int(factor)
        if factor == 0:
            raise CodecError("multiplying by 0 leaves nothing to sum: leave the vector out instead")
        addends = self._lanes_for(self.addends * abs(factor))
        powers = [gmpy2.powmod(c, factor, self.public.nsquare) for c in self.ciphertexts]
        return EncryptedVector(self.public, self.codec, self.shape, addends, powers).rerandomise()

    __rmul__ = __mul__

    def rerandomise(self, randomiser: Randomiser | None = None) -> EncryptedVector:
        """The same values under fresh randomness: nobody can tell that the ciphertexts belong together."""
        factors = _factors(self.public, len(self.ciphertexts), randomiser)
        nsquare = self.public.nsquare
        fresh = [c * factor % nsquare for c, factor in zip(self.ciphertexts, factors, strict=True)]
        return EncryptedVector(self.public, self.codec, self.shape, self.addends, fresh)

    def slices(self, parts: int) -> list[EncryptedVector]:
        """1 to `parts` flat vectors of whole ciphertexts, for work side by side."""
        if whole("the number of slices", parts, ShapeError) < 1:
            raise ShapeError(f"a vector in {many(parts, 'slice')}: at least 1 is needed")
        lanes, size = self.packing.lanes, len(self)
        return [
            EncryptedVector(
                self.public,
                self.codec,
                (min(part.stop * lanes, size) - part.start * lanes,),
                self.addends,
                self.ciphertexts[part],
            )
            for part in shared_out(len(self.ciphertexts), parts) or [slice(0, 0)]
        ]

    def unpack(self, plaintexts: list[mpz]) -> np.ndarray:
        """Decrypted plaintexts to int64 values in this vector's shape.

        Raises `CiphertextError` if a value is larger than `addends` honest values can make it.
        """
        values = self.packing.unpack(plaintexts, len(self))
        limit = self.addends * self.codec.limit
        if values.size and max(-int(values.min()), int(values.max())) > limit:
            raise CiphertextError(
                f"a decrypted value exceeds {limit}, the most that {many(self.addends, 'addend')} can sum to"
            )
        return values.reshape(self.shape)

    def to_bytes(self) -> bytes:
        """Header, dimensions, ciphertexts of fixed width, and a digest that detects damage (not forgery)."""
        key, codec = self.public.fingerprint, self.codec.to_bytes()
        header = _HEADER.pack(_FORMAT, key, codec, self.addends, len(self.shape))
        dimensions = struct.pack(f">{len(self.shape)}Q", *self.shape)
        body = header + dimensions + integers_to_bytes(self.ciphertexts, self.public.ciphertext_bytes)
        return add_digest(body)

    @classmethod
    def from_bytes(cls, data: bytes, public: PublicKey) -> EncryptedVector:
        """Read `to_bytes`.

        Raises `CiphertextError` for bytes that are damaged, truncated, of another format or key, or that hold
        ciphertexts outside [1, n^2) or sharing a factor with n.
        """
        vector, payload = parse(data, public)
        vector.ciphertexts = integers_from_bytes(payload, public.ciphertext_bytes)
        check_ciphertexts(vector.ciphertexts, public)
        return vector

    def _lanes_for(self, addends: int) -> int:
        if addends > self.codec.addends:
            raise CodecError(
                f"{many(addends, 'addend does', 'addends do')} not fit lanes made for {self.codec.addends}: "
                f"make the codec with addends={addends}"
            )
        return addends


def _factors(public: PublicKey, count: int, randomiser: Randomiser | None) -> list[mpz]:
    source = default_randomiser(public, count) if randomiser is None else randomiser
    if getattr(source, "public", None) != public:
        raise CryptoKeyError("the randomiser was made for another key")
    return source.factors(count)


def parse(data: bytes, public: PublicKey) -> tuple[EncryptedVector, memoryview]:
    """`EncryptedVector.from_bytes` up to the ciphertexts: a vector without any, and their bytes, not yet checked."""
    given("an encrypted vector", data, BYTES, CiphertextError)
    given("the public key", public, PublicKey, CryptoKeyError)
    if len(data) < _HEADER.size + DIGEST_BYTES:
        raise CiphertextError(f"an encrypted vector of {many(len(data), 'byte')} is shorter than its header: truncated")
    if data[0] != _FORMAT:
        raise CiphertextError(f"encrypted vector of format {data[0]}: this version reads format {_FORMAT}")
    body = strip_digest(data, "an encrypted vector", CiphertextError)
    _, key, codec_bytes, addends, dimensions = _HEADER.unpack_from(body)
    if key != public.fingerprint:
        raise CiphertextError(f"encrypted to key {key.hex()}, but key {public.fingerprint.hex()} is expected")
    try:
        codec = FixedPoint.from_bytes(codec_bytes)
        packing = LanePacking(codec.lane_bits, public.modulus)
        shape = struct.unpack_from(f">{dimensions}Q", body, _HEADER.size)
    except (CodecError, struct.error) as error:
        raise CiphertextError(f"the header of an encrypted vector cannot be used: {error}") from None
    if dimensions > MAX_DIMENSIONS or max(shape, default=0) > MAX_LENGTH:
        raise CiphertextError(f"shape {shape}: at most {MAX_DIMENSIONS} dimensions of {MAX_LENGTH} values can be held")
    payload = body[_HEADER.size + 8 * dimensions :]
    expected = packing.plaintexts(math.prod(shape)) * public.ciphertext_bytes
    if len(payload) != expected:
        raise CiphertextError(
            f"{many(len(payload), 'byte')} of ciphertext, but shape {shape} takes {expected}: wrong length"
        )
    if not 1 <= addends <= codec.addends:
        raise CiphertextError(f"{many(addends, 'addend')} claimed: the codec holds 1 to {codec.addends}")
    return EncryptedVector(public, codec, shape, addends, []), payload


def check_ciphertexts(ciphertexts: list[mpz], public: PublicKey, start: int = 0) -> None:
    """Raise `CiphertextError` naming (counted from `start`) the first outside [1, n^2) or sharing a factor with n."""
    if not ciphertexts:
        return
    if min(ciphertexts) < 1 or max(ciphertexts) >= public.nsquare:
        bad = next(i for i, c in enumerate(ciphertexts) if not 1 <= c < public.nsquare)
        raise CiphertextError(f"ciphertext {start + bad} lies outside [1, n^2)")
    n, product = public.modulus, mpz(1)
    for ciphertext in ciphertexts:
        product = product * ciphertext % n
    if gmpy2.gcd(product, n) != 1:
        bad = next(i for i, c in enumerate(ciphertexts) if gmpy2.gcd(c, n) != 1)
        raise CiphertextError(f"ciphertext {start + bad} shares a factor with n: it is no encryption")
