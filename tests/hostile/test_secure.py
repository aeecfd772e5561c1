"""Protections, samplers, proofs and shared keys with arguments that nobody expects.

Constructors and methods that a program calls give a result or raise a typed error; messages that come from others are
damaged in `tests/fuzz`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import gmpy2
import numpy as np
import pytest

from fedlearn import groups, sampling
from fedlearn.availability import Diurnal, Trace
from fedlearn.crypto import FixedPoint, agreement, equality, generate_keypair, openings, sealed, signing
from fedlearn.crypto.equality import EqualityProof, Statement
from fedlearn.crypto.threshold import KeyShare, PartialDecryption, ThresholdKey, deal
from fedlearn.secure import Masks, Paillier, Plain, Threshold
from fedlearn.secure.audit import CohortAudit
from fedlearn.secure.base import Settings
from fedlearn.secure.kept import KeptKeys
from fedlearn.secure.pki import Pki
from fedlearn.weighted import Weighted
from tests.hostile.table import Table
from tests.toys import TOY_BITS, toy_codec, toy_paillier

pytestmark = pytest.mark.filterwarnings("error")

FOLDER = Path(tempfile.mkdtemp())
CODEC = FixedPoint(bits=12, bound=1.0, addends=5)
KEY, SHARES = deal(2, 3, 256, insecure_test_key=True)
VECTOR = KEY.public.encrypt(np.arange(5), CODEC)
PARTIAL = SHARES[0].partial_decrypt(VECTOR, b"round 1")
ANSWERS = [share.partial_decrypt(VECTOR, b"round 1") for share in SHARES]
SECRET, MODULUS = gmpy2.mpz(1234567), KEY.public.nsquare
SQUARES = [gmpy2.mpz(base * base) for base in (3, 5, 7)]
STATEMENT = Statement(
    MODULUS, SQUARES[0], gmpy2.powmod(SQUARES[0], SECRET, MODULUS), SQUARES,
    [gmpy2.powmod(base, 2 * SECRET, MODULUS) for base in SQUARES], 32, b"context",
)  # fmt: skip
WEIGHTS = FOLDER / "weights"
WEIGHTS.write_text("1\n2\n0\n3\n")
TRACE = FOLDER / "trace"
TRACE.write_text("client,from,to\n0,1,5\n1,2,9\n")
(FOLDER / "pki").mkdir()
Pki(FOLDER / "pki").make(3)
PLANS = "what a plan gives it is tried in tests/adversaries, messages of others in tests/fuzz"
OBJECTS = {
    Plain: Plain,
    Paillier: toy_paillier,
    Threshold: lambda: Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True),
    Masks: lambda: Masks(toy_codec()),
    Settings: Settings,
    CohortAudit: lambda: CohortAudit(3),
    KeptKeys: lambda: KeptKeys(FOLDER),
    Pki: lambda: Pki(FOLDER / "pki"),
    ThresholdKey: lambda: KEY,
    KeyShare: lambda: SHARES[0],
    PartialDecryption: lambda: PARTIAL,
    Statement: lambda: STATEMENT,
    EqualityProof: lambda: PARTIAL.proof,
    signing.SigningKey: signing.SigningKey,
    agreement.AgreementKey: agreement.AgreementKey,
    sampling.Uniform: sampling.Uniform,
    sampling.Poisson: sampling.Poisson,
    Weighted: lambda: Weighted([1.0, 2.0, 0.0, 3.0]),
    Diurnal: lambda: Diurnal(24),
    Trace: lambda: Trace.read(str(TRACE)),
}
OF_PLANS = ("client", "server", "openers", "dealer", "check_keys", "fingerprint", "encryption_key", "rebuild")
PUBLIC, PRIVATE = generate_keypair(256, insecure_test_key=True)
OPENED = PUBLIC.encrypt(np.arange(5), CODEC).ciphertexts
ROOT = openings.prove(PRIVATE, OPENED, PRIVATE.raw_decrypt(OPENED), b"round 1")
KEY_OF_ONE = signing.SigningKey()
LEFT_OUT = {
    **dict.fromkeys(("multi_power", "coefficients"), "of numbers that were checked"),
    **dict.fromkeys(("groups_of", "group_of", "check_together", "Masks.circle"), PLANS),
    **dict.fromkeys(("seal", "unseal"), "half a second each; tests/fuzz damages what they write"),
    **dict.fromkeys(("agreement.seal", "agreement.unseal"), "called for each letter; tests/fuzz damages letters"),
    "Pki.make": "writes into an empty folder once, which test_keys tries",
    **dict.fromkeys(("KeptKeys.pair", "KeptKeys.shared", "KeptKeys.shares"), "read files, which tests/fuzz damages"),
}
TABLE = Table(
    [equality, openings, signing, sealed, agreement, groups],
    OBJECTS,
    {
        "codec": toy_codec(), "key_bits": TOY_BITS, "insecure_test_key": True, "threshold": 2, "trustees": 3,
        "argument": None, "settings": Settings(toy_codec(), TOY_BITS, insecure_test_key=True), "values": 10,
        "cohort": 5, "population": 9, "min_cohort": 3, "CohortAudit.enter/cohort": (1, 2, 3),
        "statement": STATEMENT, "secret": SECRET, "proof": PARTIAL.proof, "bits": 32, "bases": SQUARES,
        "exponents": [1, 2, 3], "modulus": MODULUS, "private": PRIVATE, "public": PUBLIC, "root": ROOT,
        "ciphertexts": OPENED, "plaintexts": PRIVATE.raw_decrypt(OPENED), "context": b"round 1", "signature": bytes(64),
        "check_signature/public": KEY_OF_ONE.public, "check_signature/signature": KEY_OF_ONE.sign(),
        "content": b"secret", "passphrase": "words", "authenticated": b"", "sealed": {}, "seed": 3, "round": 1,
        "size": 2, "cut/cohort": (1, 2, 3, 4), "folder": FOLDER, "asked": 256, "client": 0, "clients": 3,
        "roster": {}, "key": KEY, "trustee": 1, "value": 5, "powers": [], "generator": SQUARES[0],
        "verification": (SQUARES[0],), "image": SQUARES[0], "results": SQUARES, "challenge": SECRET,
        "response": SECRET, "vector": VECTOR, "partial": PARTIAL, "partials": [PARTIAL], "diurnal": 24,
        "weights": [1.0, 2.0], "examples": lambda: lambda: [1.0, 2.0],
        "Weighted.check/population": 4, "Weighted.check/cohort": 2, "Weighted.check/size": 2,
        "Weighted.sample/population": 4, "Diurnal.from_spec/argument": "diurnal=4",
        "Trace.from_spec/argument": str(TRACE), "path": str(TRACE), "intervals": [[0, 1, 5]],
        "KeptKeys.check_bits/bits": 256, "Pki.make/clients": 3, "ThresholdKey/public": KEY.public,
        "ThresholdKey/generator": KEY.generator, "ThresholdKey/verification": KEY.verification,
        "ThresholdKey.combine/partials": ANSWERS, "ThresholdKey.combine_verified/partials": ANSWERS,
        "ThresholdKey.from_bytes/data": KEY.to_bytes(), "KeyShare/value": SHARES[0]._value,
        "KeyShare.from_bytes/data": SHARES[0].to_bytes(), "threshold_key": KEY, "PartialDecryption/key": b"",
        "PartialDecryption.from_bytes/data": PARTIAL.to_bytes(KEY), "SigningKey/secret": None,
        "AgreementKey/secret": None, "peer": agreement.AgreementKey().public,
    },
    LEFT_OUT
    | {f"{kind.__name__}.{name}": PLANS for kind in OBJECTS for name in OF_PLANS if hasattr(kind, name)},
)  # fmt: skip


@pytest.mark.parametrize("name", TABLE.calls)
def test_ordinary_arguments_are_taken(name):
    TABLE.check_ordinary(name)


@pytest.mark.parametrize("name", TABLE.calls)
def test_odd_arguments_are_taken_or_refused(name):
    TABLE.check_odd(name)
