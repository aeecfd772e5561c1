"""Randomisers hide a plaintext by random n-th residues modulo n^2. They are made in several ways, behind one interface.

An encryption is (1 + n * m) * r^n mod n^2. Everything slow is in the factor r^n, which does not depend on m.
"""

from __future__ import annotations

import hashlib
import secrets
import threading

import gmpy2
from gmpy2 import mpz

from fedlearn.crypto.fixedbase import NO_TABLE, FixedBase, TableShape, choose_shape
from fedlearn.crypto.keys import PrivateKey, PublicKey, Randomiser
from fedlearn.crypto.modexp import powers
from fedlearn.errors import CryptoKeyError
from fedlearn.forks import forget_in_children
from fedlearn.wording import many

MEMORY_LIMIT = 32 << 20  # bytes of one key's table: four times as many would save a tenth of the time
KEYS_KEPT = 2  # keys whose tables a process keeps
_DOMAIN = b"fedlearn/paillier/djn-base/1"


class OrdinaryRandomiser:
    """r^n mod n^2 for uniform r (Paillier 1999, scheme 1): the slowest, for any key."""

    def __init__(self, public: PublicKey):
        self.public = public

    def factors(self, count: int) -> list[mpz]:
        n = self.public.modulus
        bases = [mpz(secrets.randbelow(self.public.n - 1) + 1) for _ in range(count)]
        return powers(bases, n, self.public.nsquare)


class CrtRandomiser:
    """r^n mod n^2 by an encryptor who holds the private key: half-size powers modulo p^2 and q^2.

    x^p for uniform x is uniform among the n-th residues modulo p^2, so this is `OrdinaryRandomiser`'s distribution.
    """

    def __init__(self, private: PrivateKey):
        self.public = private.public
        self._p, self._q = private.primes

    def factors(self, count: int) -> list[mpz]:
        modulo_p, modulo_q = self._residues(self._p, count), self._residues(self._q, count)
        p_square, q_square = self._p**2, self._q**2
        inverse = gmpy2.invert(p_square, q_square)
        return [a + p_square * ((b - a) * inverse % q_square) for a, b in zip(modulo_p, modulo_q, strict=True)]

    def _residues(self, prime: mpz, count: int) -> list[mpz]:
        bases = [mpz(secrets.randbelow(int(prime) - 1) + 1) for _ in range(count)]
        return powers(bases, prime, prime**2)


class DjnRandomiser:
    """h_s^alpha mod n^2 with h_s = h^n and h = -x^2 mod n (Damgard, Jurik, Nielsen 2010, section 4.2).

    alpha has |n|/2 bits by default, for which the scheme's authors argue security. Shorter exponents are faster and
    rest on a further assumption, that discrete logarithms of `exponent_bits` bits to the base h_s are hard to find:
    at least 2 bits for each bit of security wanted (224 at 2048-bit keys, 256 at 3072).

    x is derived from n by SHAKE-256, so that nobody chooses h. Powers come from a table made for `expected`
    factors in all within `memory_limit` bytes; `table_bytes` reports its size. Look-ups depend on secret digits, so
    another tenant of the same processor's cache could learn about them.

    Raises `CryptoKeyError` for a key without the `blum` property, or too short an exponent.
    """

    def __init__(
        self,
        public: PublicKey,
        expected: int,
        *,
        exponent_bits: int | None = None,
        memory_limit: int = MEMORY_LIMIT,
    ):
        if not public.blum:
            raise CryptoKeyError("this key does not state primes = 3 (mod 4): use OrdinaryRandomiser for it")
        least = 256 if public.bits >= 3072 else min(224, public.bits // 2)
        bits = (public.bits + 1) // 2 if exponent_bits is None else exponent_bits
        if bits < least:
            raise CryptoKeyError(
                f"exponents of {many(bits, 'bit is', 'bits are')} too short for a {public.bits}-bit key: at least "
                f"{least}"
            )
        self.public = public
        shape = choose_shape(bits, public.ciphertext_bytes, expected, memory_limit)
        self._powers = FixedBase(djn_base(public), public.modulus, bits, shape)

    @property
    def shape(self) -> TableShape:
        """Of the table: what it holds, and how many multiplications a factor takes."""
        return self._powers.shape

    @property
    def table_bytes(self) -> int:
        """Memory the table takes."""
        return self._powers.table_bytes

    def factors(self, count: int) -> list[mpz]:
        return self._powers.random_powers(count)


def djn_base(public: PublicKey) -> mpz:
    """h_s = (-x^2)^n mod n^2, with x from SHAKE-256 of n, 128 bits longer than n to be uniform modulo n."""
    size = public.modulus_bytes
    seed = hashlib.shake_256(_DOMAIN + public.n.to_bytes(size, "big")).digest(size + 16)
    x = mpz.from_bytes(seed, "big") % public.modulus
    return gmpy2.powmod(-x * x % public.modulus, public.modulus, public.nsquare)


class _Shared:
    """One DJN table per key and process, for the calls so far and half of the last again; made anew where that pays.

    So a first call of one large vector has a table that is nearly the best for the next ones, and costs a fiftieth more
    than with the table that is best for it alone.
    """

    def __init__(self) -> None:
        self.forget()
        self._made: dict[int, tuple[int, DjnRandomiser]] = {}  # modulus: demand so far and randomiser, last used last

        forget_in_children(self)

    def forget(self) -> None:
        """A lock of the child's own. The tables are public and stay."""
        self._lock = threading.Lock()

    def get(self, public: PublicKey, count: int) -> DjnRandomiser:
        with self._lock:
            demand, made = self._made.pop(public.n, (0, None))
            demand += count
            expected, shape = demand + count // 2, made.shape if made else NO_TABLE
            wanted = choose_shape((public.bits + 1) // 2, public.ciphertext_bytes, expected, MEMORY_LIMIT, shape)
            if made is None or wanted != shape:
                made = DjnRandomiser(public, expected)
            self._made[public.n] = demand, made
            while len(self._made) > KEYS_KEPT:
                del self._made[next(iter(self._made))]
            return made


_shared = _Shared()


def default_randomiser(public: PublicKey, count: int) -> Randomiser:
    """The randomiser that is used when none is named, for about `count` more factors: DJN if the key permits, else r^n.

    The table is kept for the process, for the `KEYS_KEPT` keys used last. Name the count of a whole run on the first
    call to have the best table at once; otherwise it grows with use.
    """
    return _shared.get(public, count) if public.blum else OrdinaryRandomiser(public)
