"""Where the limits of the crypto room lie, and what their errors say: limits.txt, with these names and the room's."""

from __future__ import annotations

import struct
from importlib import import_module
from pathlib import Path

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from fedlearn.crypto import FixedPoint, PublicKey
from fedlearn.crypto.packing import LanePacking
from tests.crypto.known import PRIVATE, PUBLIC, P, Q
from tests.refusals import outcome, read

FILES = (
    "agreement openings modexp lanes packing codec keys keyfiles vector masks neighbours randomisers shamir signing "
    "threshold"
)
ROOM = {name: import_module(f"fedlearn.crypto.{name}") for name in FILES.split()}
CODEC, CLIPS = FixedPoint(12, 1.0, 20), FixedPoint(12, 1.0, 20, "clip")
PACKING = LanePacking(24, mpz(2) ** 90)


def key_of(size: int, version: int = 1, flags: int = 0) -> bytes:
    """The bytes of a public key of so many bytes, none of which are right."""
    return struct.pack(">BBH", version, flags, size) + bytes(size + 16)


def blum(bits: int) -> PublicKey:
    """A modulus of so many bits that claims to be of two primes = 3 (mod 4)."""
    return PublicKey((1 << (bits - 1)) + 1, blum=True, insecure_test_key=True)


NAMES = ROOM | {name: value for module in ROOM.values() for name, value in vars(module).items()}
DEALT = NAMES["deal"](2, 3, 128, insecure_test_key=True)[0]
NAMES |= {
    "PRIVATE": PRIVATE,
    "PUBLIC": PUBLIC,
    "blum": blum,
    "P": P,
    "Q": Q,
    "BIG": int(gmpy2.next_prime(1 << 2040)),
    "CODEC": CODEC,
    "CLIPS": CLIPS,
    "PACKING": PACKING,
    "FULL": PACKING.pack(np.full(3, (1 << 23) - 1))[0],
    "VECTOR": PUBLIC.encrypt(np.arange(-3, 4), CODEC),
    "ONES": np.ones(3, np.int64),
    "key_of": key_of,
    "DEALT": DEALT,
    "NOTHING": NAMES["PartialDecryption"](1, DEALT.public.fingerprint, [], NAMES["EqualityProof"](mpz(1), mpz(1))),
}


@pytest.mark.parametrize(("call", "text"), read(Path(__file__).with_name("limits.txt")))
def test_what_is_beyond_a_limit_is_refused_in_one_line_and_what_is_at_it_is_taken(call, text):
    assert outcome(call, NAMES) == text
