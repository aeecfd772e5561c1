"""Every reader of others' bytes: what they look like when they are right, and what reads them. One line for each."""

from __future__ import annotations

import hashlib
import logging
import secrets
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from clients.wire import read_record, read_said, write_record, write_said
from fedlearn.crypto import EncryptedVector, FixedPoint, PrivateKey, PublicKey, generate_keypair, keyfiles
from fedlearn.crypto.agreement import AgreementKey, seal, unseal
from fedlearn.crypto.framing import DIGEST_BYTES, add_digest
from fedlearn.crypto.keys import FINGERPRINT_BYTES
from fedlearn.crypto.lanes import residues_from_bytes, residues_to_bytes
from fedlearn.crypto.shamir import combine, split
from fedlearn.crypto.signing import SigningKey, check_signature
from fedlearn.crypto.threshold import KeyShare, PartialDecryption, ThresholdKey, deal
from fedlearn.protocol import (
    AGGREGATOR,
    EVERYBODY,
    Counted,
    Enrolment,
    Inbox,
    LeftOut,
    Loss,
    Lost,
    Marks,
    Message,
    Opened,
    OpenerKey,
    OpenRequest,
    Partial,
    Refusal,
    Reply,
    RunPlan,
    Step,
    TrainRequest,
    Update,
)
from fedlearn.protocol.bodies import PartialSum
from fedlearn.protocol.messages import HEADER
from fedlearn.secure.masks.wire import KEYS_BYTES, Invitation, digest_of, read_part, write_table
from tests.fuzz.data_readers import DATA_READERS
from tests.fuzz.loop import Reader

CODEC = FixedPoint(bits=12, bound=1.0, addends=5)
CONTEXT = b"round 1"
LETTER_KEY, SIGNER, AGREEING = secrets.token_bytes(32), SigningKey(), AgreementKey()
JSON = (
    b"[",
    b"{",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"true",
    b"-1e999",
    b"[" * 5000,
    b'{"a":' * 3000,
    b"9" * 5000,
)


@cache
def pair() -> tuple[PublicKey, PrivateKey]:
    return generate_keypair(256, insecure_test_key=True)


@cache
def dealt() -> tuple[ThresholdKey, list[KeyShare]]:
    return deal(2, 3, 256, insecure_test_key=True)


@cache
def asked() -> EncryptedVector:
    return dealt()[0].public.encrypt(np.arange(20), CODEC)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fedlearn-fuzz-")  # removed with the process


def folder() -> Path:
    return Path(_temporary().name)


def vectors() -> list[bytes]:
    public = pair()[0]
    shapes = [(), (0,), (30,), (2, 3, 4)]
    return [public.encrypt(np.ones(shape, np.int64), CODEC).to_bytes() for shape in shapes]


def key_file(write: Callable[[Path], None]) -> list[bytes]:
    path = folder() / secrets.token_hex(8)
    write(path)
    data = path.read_bytes()
    path.unlink()
    return [data]


def from_file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def through_a_file(data: bytes) -> object:
        path = folder() / "key.json"
        path.write_bytes(data)
        path.chmod(0o600)
        return read(path)

    return through_a_file


def digested(data: bytes) -> bytes:
    return add_digest(data[: max(0, len(data) - DIGEST_BYTES)])


def fingerprinted(data: bytes) -> bytes:
    """A public key that announces its true length and fits its fingerprint."""
    body = data[4 : max(4, len(data) - FINGERPRINT_BYTES)]
    return data[:2].ljust(2, b"\1") + struct.pack(">H", min(len(body), 65_535)) + body + _sha(body)


def _sha(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:FINGERPRINT_BYTES]


def announced(data: bytes) -> bytes:
    """A message whose header says this version and the true length of its body."""
    header = bytearray(data[: HEADER.size].ljust(HEADER.size, b"\0"))
    header[:3] = b"FL\2"
    header[3] = header[3] % 14
    header[-8:] = max(0, len(data) - HEADER.size).to_bytes(8, "big")
    return bytes(header) + data[HEADER.size :]


def messages() -> list[bytes]:
    state = {"c": np.ones(3, np.float32), "v": np.ones(0, np.float32)}
    bodies = [
        TrainRequest(np.arange(9, dtype=np.float32), state),
        *(kind(secrets.token_bytes(70)) for kind in (Update, Inbox, OpenerKey, OpenRequest, Opened, Enrolment, Marks)),
        Refusal("too few"),
        PartialSum((1, 5), np.arange(4)),
        Counted(),
        LeftOut(),
        Loss(Loss.FAILED),
        plan(),
    ]
    step = Step(3, 1, "update")
    return [Message(bytes(range(16)), step, AGGREGATOR, EVERYBODY, body).to_bytes() for body in bodies]


def plan() -> RunPlan:
    linear = {"class": "fedlearn.nn.linear:Linear", "args": [3, 2], "kwargs": {"bias": True}}
    layout = {"segments": [["weight", 6, "vector", 4.0], ["loss", 1, "loss", 64.0]], "max_weight": 4096}
    return RunPlan(
        session=bytes(16),
        roster={0: bytes(32), 7: bytes(32)},
        model={"class": "fedlearn.nn.container:Sequential", "args": [linear], "kwargs": {}},
        vocabulary={"kind": "explicit", "words": ["the", "prize", "caf\u00e9"]},
        strategy={"name": "fedavg", "lr": 0.1, "epochs": 1},
        protection={"name": "paillier", "codec": CODEC.to_dict()},
        keys={-16: pair()[0].to_bytes()},
        layout=layout,
        sampled=3,
        rounds=10,
        kernels={"stack": True, "fold": False, "recurrent": None},
        seed=2**40,
    )


def join_shares(data: bytes) -> bytes:
    """Records of holder (8 bytes) and share (33 bytes)."""
    return combine({int.from_bytes(data[at : at + 8], "big"): data[at + 8 : at + 41] for at in range(0, 123, 41)}, 2)


def shares() -> list[bytes]:
    return [b"".join(h.to_bytes(8, "big") + share for h, share in split(bytes(32), 2, (1, 2, 9)).items())]


def invitations() -> list[bytes]:
    keys = {client: secrets.token_bytes(KEYS_BYTES) for client in (0, 3, 4)}
    return [Invitation((0, 3, 4), digest_of(keys), keys).to_bytes()]


def private_file(passphrase: str | None = None) -> list[bytes]:
    return key_file(lambda path: keyfiles.write_private(path, pair()[1], passphrase))


def read_private(passphrase: str | None = None) -> Callable[[bytes], object]:
    return from_file(lambda path: keyfiles.read_private(path, passphrase, insecure_test_key=True))


READERS = [
    Reader(
        "message",
        messages,
        Message.from_bytes,
        announced,
        (b"FL", b"\xff" * 8, b"\xdf\xff\xff\xff\xff", b"\x91" * 5000),
        10,
    ),
    Reader(
        "run plan",
        lambda: [plan().to_bytes()],
        RunPlan.from_bytes,
        None,
        (b"\xdd\xff\xff\xff\xff", b"\x91" * 5000, b"\xc1"),
    ),
    Reader(
        "encrypted vector", vectors, lambda d: pair()[1].decrypt(EncryptedVector.from_bytes(d, pair()[0])), digested
    ),
    Reader("codec", lambda: [CODEC.to_bytes()], FixedPoint.from_bytes),
    Reader(
        "public key",
        lambda: [pair()[0].to_bytes()],
        lambda d: PublicKey.from_bytes(d, insecure_test_key=True),
        fingerprinted,
    ),
    Reader(
        "public key file",
        lambda: key_file(lambda path: keyfiles.write_public(path, pair()[0])),
        from_file(lambda path: keyfiles.read_public(path, insecure_test_key=True)),
        None,
        JSON,
    ),
    Reader("private key file", private_file, read_private(), None, JSON),
    Reader(
        "encrypted key file", lambda: private_file("x"), read_private("x"), None, JSON, 0.01
    ),  # scrypt takes its time
    Reader(
        "threshold key",
        lambda: [dealt()[0].to_bytes()],
        lambda d: ThresholdKey.from_bytes(d, insecure_test_key=True),
        digested,
    ),
    Reader(
        "key share",
        lambda: [share.to_bytes() for share in dealt()[1]],
        lambda d: KeyShare.from_bytes(d, dealt()[0]),
        digested,
    ),
    Reader(
        "partial decryption",
        lambda: [share.partial_decrypt(asked(), CONTEXT).to_bytes(dealt()[0]) for share in dealt()[1]],
        lambda d: dealt()[0].verify(asked(), PartialDecryption.from_bytes(d, dealt()[0]), CONTEXT),
        digested,
    ),
    Reader("sealed letter", lambda: [seal(LETTER_KEY, b"letter", CONTEXT)], lambda d: unseal(LETTER_KEY, d, CONTEXT)),
    Reader(
        "agreement key",
        lambda: [AgreementKey().public],
        lambda d: AGREEING.agree(d, CONTEXT),
        None,
        (bytes(32), b"\xff" * 32),
    ),
    Reader("agreement secret", lambda: [AgreementKey().secret], AgreementKey),
    Reader("signing key", lambda: [SIGNER.to_bytes()], SigningKey),
    Reader("signature", lambda: [SIGNER.sign(CONTEXT)], lambda d: check_signature(SIGNER.public, d, CONTEXT)),
    Reader("verification key", lambda: [SIGNER.public], lambda d: check_signature(d, SIGNER.sign(CONTEXT), CONTEXT)),
    Reader("shares of a secret", shares, join_shares),
    Reader(
        "masked vector",
        lambda: [residues_to_bytes(np.arange(50, dtype=np.uint64), 13)],
        lambda d: residues_from_bytes(d, 13, 50),
    ),
    Reader(
        "worker's answers",
        lambda: [write_said(said) for said in ([Reply(1, b"m"), Partial((2, 3), b"s"), Lost(4, "late")], [b"m"], None)],
        read_said,
        None,
        (b"\xdd\xff\xff\xff\xff", b"\x91" * 5000, b"\xc1"),
    ),
    Reader("worker's log record", lambda: [write_record(logging.makeLogRecord({"msg": "said"}))], read_record),
    Reader("masks invitation", invitations, Invitation.from_bytes),
    Reader("masks table", lambda: [write_table({1: b"abcd", 3: b"efgh"})], lambda d: read_part(d, 4, (1, 2, 3), 1)),
    *DATA_READERS,
]
