"""Readers of files that people bring: messages, numbers, models, weights and locked secrets."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from fedlearn.crypto.keyfiles import read_secret, write_secret
from fedlearn.datasets.files import messages_of
from fedlearn.datasets.files.arrays import read_samples
from fedlearn.datasets.files.mail import Losses, read_mail
from fedlearn.datasets.files.opening import unpacked
from fedlearn.datasets.files.reading import Reading
from fedlearn.datasets.vocabulary import HashedVocabulary
from fedlearn.exchange.arrays import npz, read_state
from fedlearn.modelfile import WEIGHTS, Described, description_of, model_bytes, read_model, write_model
from fedlearn.models import SpamClassifier
from tests.fuzz.loop import Reader

ROWS = [("spam" if i % 3 == 0 else "ham", f"hello {i}, \u00e4 'quoted'", "abc"[i % 3]) for i in range(12)]
TABLE = "label,text,user\n" + "".join(f'{label},"{text}",{user}\n' for label, text, user in ROWS)
LINES = "".join(f'{{"label": "{label}", "text": "{text}"}}\n' for label, text, _ in ROWS)
MAIL = (
    "From: a@b.example\nTo: =?utf-8?q?f=C3=BCr?= <c@d.example>\nSubject: =?koi8-r?B?8NLJ18XU?=\nX-Gmail-Labels: Spam\n"
    "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html; charset=iso-8859-1\n"
    "Content-Transfer-Encoding: base64\n\nPGI+d2luPC9iPiAmYW1wOyDk\n--b\nContent-Type: text/plain\n"
    "Content-Transfer-Encoding: quoted-printable\n\nsee =C3=A4 you\n--b--\n"
)
HAM = MAIL.replace("Labels: Spam", "Labels: Inbox")
MBOX = "".join(f"From a@b Fri Nov  6 09:00:00 2026\n{mail}\n" for mail in (MAIL, HAM, MAIL, HAM))
CSV_PIECES = (b'"', b'""', b",", b"\r", b"\n\n", b"\t", b";", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"a," * 3000)
JSON_PIECES = (b"[", b"{", b'"', b"\\ud800", b"null", b"-1e999", b"[" * 5000, b"9" * 5000)
MAIL_PIECES = (
    b"=?x?b?=?=", b"=?utf-8?q?=", b"charset=\xff", b"boundary=", b"--b\n", b"\nFrom ", b"<div>" * 999,
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 99,
)  # fmt: skip


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fedlearn-fuzz-")  # removed with the process


def _written(name: str, data: bytes) -> Path:
    path = Path(_folder().name, name)
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def messages(data: bytes) -> object:
    return messages_of(unpacked("fuzz", data), "fuzz", Reading(skip_bad=True))


@cache
def a_model() -> Described:
    return Described("spam", SpamClassifier(8), ("ham", "spam"), HashedVocabulary(8), "", None)


def a_model_folder() -> Path:
    folder = Path(_folder().name, "model")
    if not folder.exists():
        write_model(a_model(), folder)
    return folder


def described_as(data: bytes) -> object:
    """The weights with something else as their description."""
    text = data.decode("utf-8", "replace").encode()
    return read_model(_written("described", model_bytes(a_model().model.state_dict(), text or b" ")))


def arrays() -> list[bytes]:
    out = io.BytesIO()
    np.savez(out, X=np.ones((6, 2)), y=np.arange(6) % 2)
    return [out.getvalue(), b"a,b,kind\n" + b"1,2,x\n3,4,y\n" * 4]


def locked() -> list[bytes]:
    path = Path(_folder().name, "new")
    write_secret(path, b"secret", "passphrase")
    data = path.read_bytes()
    path.unlink()
    return [data]


def unlock(data: bytes) -> object:
    return read_secret(_written("secret", data), "passphrase")


DATA_READERS = [
    Reader("table of messages", lambda: [TABLE.encode()], messages, None, CSV_PIECES),
    Reader("JSON lines", lambda: [LINES.encode()], messages, None, JSON_PIECES),
    Reader("mail", lambda: [MAIL.encode()], lambda data: read_mail(data, Losses()), None, MAIL_PIECES),
    Reader("mbox", lambda: [MBOX.encode()], messages, None, MAIL_PIECES),
    Reader("numbers", arrays, lambda data: read_samples(str(_written("numbers", data))), None, CSV_PIECES),
    Reader("model description", lambda: [description_of(a_model())], described_as, None, JSON_PIECES),
    Reader(
        "model weights",
        lambda: [(a_model_folder() / WEIGHTS).read_bytes()],
        lambda data: read_model(_written("weights", data)),
        None,
        JSON_PIECES,
    ),
    Reader("weights of NumPy", lambda: [npz(a_model())], lambda data: read_state(_written("w.npz", data))),
    Reader(
        "locked secret", locked, lambda data: read_secret(_written("s", data), "passphrase"), None, JSON_PIECES, 0.01
    ),
]
