"""Ways to encrypt a vector of floats so that it can be added, all behind one face for timing."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from fedlearn.crypto import EncryptedVector, FixedPoint, PrivateKey, generate_keypair
from fedlearn.crypto.keys import Randomiser
from fedlearn.crypto.packing import LanePacking
from fedlearn.crypto.randomisers import CrtRandomiser, DjnRandomiser, OrdinaryRandomiser
from fedlearn.crypto.stock import Stock

CODEC = FixedPoint(bits=24, bound=1.0, addends=100)


class Scheme(Protocol):
    """`size`: how many values it is timed on, so that slow ones end in reasonable time."""

    @property
    def name(self) -> str: ...

    @property
    def key_bits(self) -> int | None: ...

    @property
    def size(self) -> int: ...

    def prepare(self, values: np.ndarray) -> None:
        """Whatever may be done before the values to encrypt are known; not timed."""

    def encrypt(self, values: np.ndarray) -> Any: ...

    def add(self, one: Any, other: Any) -> Any: ...

    def decrypt(self, total: Any) -> np.ndarray: ...

    def nbytes(self, encrypted: Any) -> int: ...


class Packed:
    """This library's vectors, under any of its randomisers."""

    def __init__(self, name: str, private: PrivateKey, randomiser: Randomiser, size: int):
        self.name, self.size, self.key_bits = name, size, private.public.bits
        self._private, self._randomiser = private, randomiser

    def prepare(self, values: np.ndarray) -> None:
        if isinstance(self._randomiser, Stock):
            packing = LanePacking(CODEC.lane_bits, self._private.public.modulus)
            self._randomiser.fill(packing.plaintexts(len(values)))

    def encrypt(self, values: np.ndarray) -> EncryptedVector:
        return self._private.public.encrypt(CODEC.encode(values), CODEC, self._randomiser)

    def add(self, one: EncryptedVector, other: EncryptedVector) -> EncryptedVector:
        return one + other

    def decrypt(self, total: EncryptedVector) -> np.ndarray:
        return CODEC.decode(self._private.decrypt(total), total_weight=1)

    def nbytes(self, encrypted: EncryptedVector) -> int:
        return encrypted.nbytes


class OneByOne:
    """A library that encrypts one number at a time."""

    def __init__(
        self,
        name: str,
        key_bits: int,
        size: int,
        encrypt: Callable[[float], Any],
        decrypt: Callable[[Any], float],
    ):
        self.name, self.key_bits, self.size = name, key_bits, size
        self._encrypt, self._decrypt = encrypt, decrypt

    def prepare(self, values: np.ndarray) -> None:
        """Nothing."""

    def encrypt(self, values: np.ndarray) -> list[Any]:
        return [self._encrypt(value) for value in values.tolist()]

    def add(self, one: list[Any], other: list[Any]) -> list[Any]:
        return [a + b for a, b in zip(one, other, strict=True)]

    def decrypt(self, total: list[Any]) -> np.ndarray:
        return np.array([self._decrypt(number) for number in total])

    def nbytes(self, encrypted: list[Any]) -> int:
        return len(encrypted) * self.key_bits // 4


class Fate:
    """FATE's Rust library, packed: non-negative numbers only, so that values are moved up by 1."""

    lane_bits, precision = 32, 24

    def __init__(self, key_bits: int, size: int):
        self.name, self.key_bits, self.size = "fate_utils, packed", key_bits, size
        self._secret, self._public, self._coder = import_module("fate_utils.paillier").keygen(key_bits)
        self._lanes = (key_bits - 2) // self.lane_bits

    def prepare(self, values: np.ndarray) -> None:
        """Nothing."""

    def encrypt(self, values: np.ndarray) -> Any:
        packed = self._coder.pack_floats(values + 1, self.lane_bits, self._lanes, self.precision)
        return self._public.encrypt_encoded(packed, True)

    def add(self, one: Any, other: Any) -> Any:
        return one.add(self._public, other)

    def decrypt(self, total: Any) -> np.ndarray:
        packed = self._secret.decrypt_to_encoded(total)
        shape = self.lane_bits, self._lanes, self.precision, self.size
        return np.array(self._coder.unpack_floats(packed, *shape)) - 2  # of a sum of two

    def nbytes(self, encrypted: Any) -> int:
        return len(pickle.dumps(encrypted))


class Ckks:
    """TenSEAL's CKKS, ring dimension 8192: approximate, and publishing its results needs noise flooding."""

    name, key_bits, size, slots = "tenseal, CKKS 8192", None, 20_480, 4096

    def __init__(self) -> None:
        tenseal = import_module("tenseal")
        self._vector = tenseal.ckks_vector
        scheme = tenseal.SCHEME_TYPE.CKKS
        self._context = tenseal.context(scheme, poly_modulus_degree=8192, coeff_mod_bit_sizes=[60, 40, 40, 60])
        self._context.global_scale = 2**40

    def prepare(self, values: np.ndarray) -> None:
        """Nothing."""

    def encrypt(self, values: np.ndarray) -> list[Any]:
        parts = [values[at : at + self.slots] for at in range(0, len(values), self.slots)]
        return [self._vector(self._context, part.tolist()) for part in parts]

    def add(self, one: list[Any], other: list[Any]) -> list[Any]:
        return [a + b for a, b in zip(one, other, strict=True)]

    def decrypt(self, total: list[Any]) -> np.ndarray:
        return np.concatenate([np.array(part.decrypt()) for part in total])

    def nbytes(self, encrypted: list[Any]) -> int:
        return sum(len(part.serialize()) for part in encrypted)


def schemes(key_bits: int) -> Iterator[Scheme]:
    """Everything that can be timed here at this key size, our own first, all of ours on one key."""
    public, private = generate_keypair(key_bits)
    djn = DjnRandomiser(public, expected=20_000)
    yield Packed("r^n", private, OrdinaryRandomiser(public), 2_000)
    yield Packed("CRT, with the private key", private, CrtRandomiser(private), 5_000)
    yield Packed("DJN, half-length alpha", private, djn, 20_000)
    short = DjnRandomiser(public, expected=20_000, exponent_bits=256)
    yield Packed("DJN, 256-bit alpha", private, short, 20_000)
    yield Packed("stock, online", private, Stock(djn), 100_000)
    yield OneByOne("phe", key_bits, 40, public.phe.encrypt, private.phe.decrypt)
    yield from _others(key_bits)


def _others(key_bits: int) -> Iterator[Scheme]:
    with suppress(ImportError):
        yield Fate(key_bits, 5_000)
    with suppress(ImportError):
        light = import_module("lightphe").LightPHE("Paillier", key_size=key_bits)
        yield OneByOne(
            "lightphe, integers", key_bits, 10, lambda x: light.encrypt(round((x + 1) * 2**22)), _plain(light)
        )


def _plain(light: Any) -> Callable[[Any], float]:
    return lambda encrypted: light.decrypt(encrypted) / 2**22 - 2  # of a sum of two, each moved up by 1


def keyless_schemes() -> Iterator[Scheme]:
    """Schemes without a Paillier key."""
    with suppress(ImportError):
        yield Ckks()
