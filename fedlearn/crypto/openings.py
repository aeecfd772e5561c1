"""One short proof that ciphertexts hold the plaintexts that the owner of their key says.

A ciphertext is c = (1 + n m) r^n modulo n^2 for one m and one r only, so that who shows r has shown m. For a whole list
at once by the small-exponent test of Bellare, Garay, Rabin, "Fast batch verification" (EUROCRYPT 1998): the product of
all c_j^e_j, with 128-bit exponents that follow from a hash of everything that is stated (Fiat, Shamir), encrypts the
sum of e_j m_j, and its r alone is shown. Were some m_j wrong, that sum would have to be right modulo both primes
by chance. What is shown is a product of random factors, drawn by those who encrypted, and tells nothing of any m.
"""

from __future__ import annotations

import hashlib

import gmpy2
from gmpy2 import mpz

from fedlearn.checked import members, takes_plain
from fedlearn.crypto.equality import coefficients, multi_power
from fedlearn.crypto.integers import integers_to_bytes
from fedlearn.crypto.keys import PrivateKey, PublicKey
from fedlearn.crypto.modexp import powers
from fedlearn.errors import CiphertextError, ComputationFault
from fedlearn.wording import many


@takes_plain
def prove(private: PrivateKey, ciphertexts: list[mpz], plaintexts: list[mpz], context: bytes) -> mpz:
    """The r of all ciphertexts together, checked before it is shown.

    Raises `ComputationFault` where the machine erred: an r that is right modulo one prime only shows both.
    """
    public = private.public
    product, _ = _together(public, ciphertexts, plaintexts, context)
    p, q = private.primes
    root_p, root_q = (powers([product % m], gmpy2.invert(public.modulus, m - 1), m)[0] for m in (p, q))
    root = root_p + p * ((root_q - root_p) * gmpy2.invert(p, q) % q)
    if (gmpy2.powmod(root, public.modulus, public.modulus) - product) % public.modulus:
        raise ComputationFault("a root that was taken is wrong, so that this machine errs: run it on another one")
    return root


@takes_plain
def verify(public: PublicKey, ciphertexts: list[mpz], plaintexts: list[mpz], root: mpz, context: bytes) -> bool:
    """True if `root` shows that the ciphertexts hold these plaintexts, in [0, n)."""
    product, exponent = _together(public, ciphertexts, plaintexts, context)
    n, nsquare = public.modulus, public.nsquare
    return bool((1 + n * exponent) * gmpy2.powmod(root, n, nsquare) % nsquare == product)


def _together(public: PublicKey, ciphertexts: list[mpz], plaintexts: list[mpz], context: bytes) -> tuple[mpz, mpz]:
    """The product of all c_j^e_j modulo n^2, and the sum of all e_j m_j modulo n."""
    if len(members("ciphertexts", ciphertexts, mpz)) != len(members("plaintexts", plaintexts, mpz)):
        raise CiphertextError(
            f"{many(len(ciphertexts), 'ciphertext')} and {many(len(plaintexts), 'plaintext')}: give one for each"
        )
    if not all(0 <= number < public.nsquare for number in (*ciphertexts, *plaintexts)):
        raise CiphertextError("a ciphertext or plaintext is out of range: they belong to another key, or are damaged")
    width = public.ciphertext_bytes
    stated = integers_to_bytes([public.modulus, *ciphertexts, *plaintexts], width)
    header = b"fedlearn/opening/1" + len(ciphertexts).to_bytes(8, "big") + hashlib.sha256(context).digest()
    exponents = coefficients(header + hashlib.sha256(stated).digest(), len(ciphertexts))
    total = sum((e * m for e, m in zip(exponents, plaintexts, strict=True)), mpz(0))
    return multi_power(ciphertexts, exponents, public.nsquare), total % public.modulus
