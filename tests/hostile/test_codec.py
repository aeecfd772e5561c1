"""The codec, the lanes, the keys and the encrypted vectors with inputs that nobody expects.

Each method of every class on the face of `fedlearn.crypto` either does what Python's whole numbers and fractions say or
raises a typed error; none warns. The table is made of the classes' public methods: a new one is in it by itself.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fedlearn import crypto
from fedlearn.crypto import EncryptedVector, FixedPoint, PrivateKey, PublicKey, generate_keypair, masks, shamir
from fedlearn.crypto.packing import LanePacking
from fedlearn.errors import BadInput, CodecError
from tests.hostile.inputs import FLOATING, LAYOUTS, NO_NUMBERS, NUMBERS, ODD_ARGUMENTS, attempt, public_functions

pytestmark = pytest.mark.filterwarnings("error")

PUBLIC, PRIVATE = generate_keypair(256, insecure_test_key=True)
VALUES = np.array([[0.5, -0.25, 1e-3], [0.0, 0.999, -1.0]])
CODECS = [
    FixedPoint(24, 1.0, 8),
    FixedPoint(8, 1.5, 2),
    FixedPoint(40, 1e-200, 4),
    FixedPoint(24, 1.0, 8, "clip"),
    FixedPoint(4, 7.0, 1, "clip"),
]
INTEGERS = np.array([3, -7, 0, 120, -128, 5])
PACKING = LanePacking(CODECS[1].lane_bits, PUBLIC.modulus)
VECTOR = PUBLIC.encrypt(INTEGERS[:3], CODECS[0])


def exactly(codec: FixedPoint, values: np.ndarray, scale: float = 1.0) -> list[int] | None:
    """What encoding means, by fractions: None where it must be refused."""
    found, scale = [], float(scale)
    for value in np.asarray(values, np.float64).ravel().tolist():
        if not math.isfinite(value):
            return None
        if abs(value * scale) > codec.bound:
            if codec.overflow == "refuse":
                return None
            value, scale_here = math.copysign(codec.bound, value), 1.0
        else:
            scale_here = scale
        found.append(round(Fraction(value) * Fraction(scale_here) * 2**codec.fraction_bits))
    return found


def as_meant(codec: FixedPoint, values: Any, scale: float = 1.0) -> None:
    got, right = attempt(codec.encode, values, scale), exactly(codec, values, scale)
    if right is None or isinstance(got, BadInput):
        assert right is None, f"refused: {got}"
        assert isinstance(got, CodecError), got
    else:
        assert got.shape == np.shape(values)
        assert np.abs(got.ravel() - np.array(right, np.int64)).max(initial=0) <= (scale != 1)  # rounded once more


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_encoding_is_exact_or_refused(codec):
    scaled = VALUES * min(1.0, codec.bound)
    for change in [*LAYOUTS.values(), *(NUMBERS[kind] for kind in NUMBERS if kind != "truth")]:
        for scale in (1.0, 0.25, np.float32(0.5), 0):
            given = change(scaled)
            as_meant(codec, given, scale)
    for dtype in ("f2", "f4", "i1", "u1", "u8", ">f4"):
        as_meant(codec, np.round(scaled).astype(dtype))
    for kind in [*NO_NUMBERS, "truth"]:
        assert isinstance(attempt(codec.encode, (NO_NUMBERS | NUMBERS)[kind](scaled)), CodecError), kind


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_decoding_is_exact_or_refused(codec):
    sums = np.array([[codec.limit, -codec.limit, 1], [0, -1, 2]])
    for kind, change in (LAYOUTS | NUMBERS | NO_NUMBERS).items():
        given = change(sums)
        got = attempt(codec.decode, given, 3, 2.0)
        if isinstance(got, BadInput):
            assert kind in (*FLOATING, *NO_NUMBERS, "truth"), f"{kind}: {got}"
            continue
        means = [float(Fraction(n) / 2**codec.fraction_bits * 2 / 3) for n in np.ravel(np.array(given, int)).tolist()]
        np.testing.assert_allclose(got.ravel(), means, rtol=1e-15, err_msg=kind)


def test_a_negative_scale_cannot_bring_values_past_the_bound():
    with pytest.raises(CodecError, match="from 0"):
        CODECS[0].encode(np.array([-5.0, 5.0]), -1.0)


def test_lanes_hold_what_was_packed_or_refuse_it():
    for kind, change in LAYOUTS.items():
        given = change(INTEGERS)
        got = attempt(PACKING.pack, given)
        if isinstance(given, np.ndarray) and given.dtype == np.int64:
            assert PACKING.unpack(got, INTEGERS.size).tolist() == INTEGERS.tolist(), kind
        else:  # as big-endian numbers, whose bytes are others
            assert isinstance(got, CodecError), kind
    for change in (NUMBERS | NO_NUMBERS).values():
        given = change(INTEGERS)
        got = attempt(PACKING.pack, given)
        if not isinstance(got, CodecError):
            assert PACKING.unpack(got, given.size).tolist() == given.tolist()
    for dtype in ("i4", "u8", "f8", "?"):
        assert isinstance(attempt(PACKING.pack, INTEGERS.astype(dtype)), CodecError)


def test_encryption_takes_any_layout_of_int64():
    for kind, change in LAYOUTS.items():
        got = attempt(PUBLIC.encrypt, change(INTEGERS.reshape(2, 3)), CODECS[0])
        if isinstance(got, CodecError):
            assert kind == "big-endian"
        else:
            assert PRIVATE.decrypt(got).tolist() == INTEGERS.reshape(2, 3).tolist(), kind


ORDINARY: dict[str, Any] = {  # by the name of a parameter
    "self": None,
    "values": INTEGERS[:3],
    "scale": 1.0,
    "out": np.zeros(3, np.int64),
    "total": INTEGERS,
    "total_weight": 3.0,
    "max_weight": 2.0,
    "addends": 4,
    "clipped": 0.5,
    "config": CODECS[0].to_dict(),
    "bits": 24,
    "bound": 1.0,
    "overflow": "refuse",
    "rounding": "nearest",
    "coins": np.array([0.5, 0.25, 0.0]),
    "lane_bits": 16,
    "modulus": PUBLIC.modulus,
    "count": 3,
    "plaintexts": PACKING.pack(INTEGERS[:3]),
    "codec": CODECS[0],
    "public": PUBLIC,
    "randomiser": None,
    "n": PUBLIC.n,
    "blum": True,
    "insecure_test_key": True,
    "p": int(PRIVATE.primes[0]),
    "q": int(PRIVATE.primes[1]),
    "vector": VECTOR,
    "vectors": [VECTOR, VECTOR],
    "ciphertexts": VECTOR.ciphertexts,
    "parts": 2,
    "shape": (3,),
    "plus": [bytes(32)],
    "minus": [bytes(range(32))],
    "residues": INTEGERS[:3].astype(np.uint64),
    "secret": bytes(range(32)),
    "threshold": 2,
    "holders": [1, 2, 3],
    "shares": shamir.split(bytes(range(32)), 2, [1, 2, 3]),
}
DATA = {FixedPoint: CODECS[0].to_bytes(), PublicKey: PUBLIC.to_bytes(), EncryptedVector: VECTOR.to_bytes()}
INSTANCES = {
    FixedPoint: FixedPoint(24, 8.0, 8),
    LanePacking: PACKING,
    PublicKey: PUBLIC,
    PrivateKey: PRIVATE,
    EncryptedVector: VECTOR,
}
NOT_CHECKED = {EncryptedVector}  # constructors that only this package calls


def calls() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Every constructor, method and function with ordinary arguments, by name."""
    found: dict[str, Callable[..., Any]] = {"generate_keypair": crypto.generate_keypair}
    found |= public_functions(masks) | public_functions(shamir)
    for kind, instance in INSTANCES.items():
        if kind not in NOT_CHECKED:
            found[kind.__name__] = kind
        methods = {name: getattr(instance, name) for name in vars(kind) if not name.startswith("_")}
        found |= {f"{kind.__name__}.{name}": method for name, method in methods.items() if callable(method)}
    return {name: (call, arguments(name, call)) for name, call in found.items()}


def arguments(name: str, call: Callable[..., Any]) -> dict[str, Any]:
    given = {}
    for parameter in inspect.signature(call).parameters:
        if parameter == "data":
            given[parameter] = DATA[next(kind for kind in DATA if kind.__name__ == name.split(".")[0])]
        else:
            assert parameter in ORDINARY, f"{name}: say in ORDINARY what an ordinary {parameter} is"
            given[parameter] = ORDINARY[parameter]
    if name == "generate_keypair":
        given["bits"] = 256
    return given


CALLS = calls()


def test_every_name_on_the_face_is_in_the_table():
    for name in crypto.__all__:
        assert any(call.split(".")[0] == name for call in CALLS), name


@pytest.mark.parametrize("name", CALLS)
def test_ordinary_arguments_are_taken(name):
    call, given = CALLS[name]
    assert not isinstance(attempt(call, **given), Exception)


@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_taken_or_refused(name):
    call, given = CALLS[name]
    for parameter in given:
        for odd in [*ODD_ARGUMENTS, np.float64(2), ["word"], [None], 2**2100]:
            if name == "generate_keypair" and parameter == "bits" and isinstance(odd, int) and odd > 2**100:
                continue
            attempt(call, **given | {parameter: odd})
