"""Many bases to one secret power.

Where OpenSSL's libcrypto is at hand, its `BN_mod_exp_mont_consttime` does the work: its memory accesses and timing
depend on the exponent's length in machine words only (Percival 2005, "Cache Missing for Fun and Profit", section 8, is
why that matters), it is faster than GMP's, and a call through ctypes frees the interpreter lock, so that threads help.
Elsewhere GMP does it, not in constant time: then whoever shares a processor with the holder of a key may learn it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import gmpy2
from gmpy2 import mpz

from fedlearn.crypto.integers import integers_from_bytes, integers_to_bytes, width_of
from fedlearn.errors import CryptoKeyError
from fedlearn.parts import shared_out

LIBRARIES = ("libcrypto.so.3", "libcrypto.so.1.1")
_SIGNATURES = {
    "BN_CTX_new": "",
    "BN_MONT_CTX_new": "",
    "BN_new": "",
    "BN_lebin2bn": "pip",
    "BN_bn2lebinpad": "ppi",
    "BN_MONT_CTX_set": "ppp",
    "BN_mod_exp_mont_consttime": "pppppp",
    "BN_CTX_free": "p",
    "BN_MONT_CTX_free": "p",
    "BN_clear_free": "p",
}
_TYPES = {"p": ctypes.c_void_p, "i": ctypes.c_int}
_ANSWERS = ("BN_bn2lebinpad", "BN_MONT_CTX_set", "BN_mod_exp_mont_consttime")  # an int; the others a pointer


def powers(bases: list[mpz], exponent: mpz, modulus: mpz) -> list[mpz]:
    """Each base, at least 0 and below the modulus, to the same power.

    Raises `CryptoKeyError` for a negative exponent, or a modulus that is even or below 3.
    """
    if modulus < 3 or modulus.is_even() or exponent < 0:  # which of them, and what it is, may be secret
        raise CryptoKeyError("powers are taken to exponents of at least 0, modulo odd numbers above 1: a damaged key")
    library = libcrypto()
    if library is not None:
        return _openssl_powers(library, bases, exponent, modulus)
    return gmpy2.powmod_base_list(bases, exponent, modulus) if bases else []


def in_threads(threads: int, numbers: list[mpz], work: Callable[[list[mpz]], list[mpz]]) -> list[mpz]:
    """work(numbers), with the numbers shared out over up to so many threads."""
    parts = [numbers[part] for part in shared_out(len(numbers), threads)]
    if len(parts) < 2:
        return work(numbers)
    with ThreadPoolExecutor(len(parts)) as pool:
        return [number for part in pool.map(work, parts) for number in part]


@cache
def libcrypto() -> ctypes.CDLL | None:
    """OpenSSL's library, or None where it is not found under a name that may be loaded safely."""
    if sys.platform != "linux":  # macOS ends a process that loads its own by an unversioned name
        return None
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            for function, arguments in _SIGNATURES.items():
                getattr(library, function).argtypes = [_TYPES[letter] for letter in arguments]
                getattr(library, function).restype = ctypes.c_int if function in _ANSWERS else ctypes.c_void_p
        except (OSError, AttributeError):
            continue
        return library
    return None


def _openssl_powers(library: ctypes.CDLL, bases: list[mpz], exponent: mpz, modulus: mpz) -> list[mpz]:
    width = width_of(modulus.bit_length())
    data, results = integers_to_bytes(bases, width), ctypes.create_string_buffer(width * len(bases))
    with _workspace(library, exponent, modulus) as (context, montgomery, power, below, number):
        for at in range(0, len(data), width):
            _good(library.BN_lebin2bn(data[at : at + width], width, number))
            _good(library.BN_mod_exp_mont_consttime(number, number, power, below, context, montgomery))
            _good(library.BN_bn2lebinpad(number, ctypes.byref(results, at), width) == width)
    return integers_from_bytes(results.raw, width)


@contextmanager
def _workspace(library: ctypes.CDLL, exponent: mpz, modulus: mpz) -> Iterator[tuple[int, int, int, int, int]]:
    """OpenSSL's working memory: scratch space, prepared modulus, exponent, modulus, and a number to reuse."""
    context, montgomery, number = library.BN_CTX_new(), library.BN_MONT_CTX_new(), library.BN_new()
    power, below = _number(library, exponent), _number(library, modulus)
    try:
        for pointer in (context, montgomery, number, power, below):
            _good(pointer)
        _good(library.BN_MONT_CTX_set(montgomery, below, context))
        yield context, montgomery, power, below, number
    finally:
        for pointer in (number, power, below):
            library.BN_clear_free(pointer)
        library.BN_MONT_CTX_free(montgomery)
        library.BN_CTX_free(context)


def _number(library: ctypes.CDLL, value: mpz) -> int:
    width = width_of(value.bit_length())
    number: int = library.BN_lebin2bn(integers_to_bytes([value], width) if width else b"", width, None)
    return number


def _good(answer: int | None) -> None:
    if not answer:
        raise MemoryError("OpenSSL could not compute a power: it found no memory for the numbers")
