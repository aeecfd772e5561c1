"""Files of keys, shared keys and graphs of neighbours, with arguments that nobody expects.

Each function gives a result or raises a typed error in one line. The table is made of the modules' public functions.
"""

from __future__ import annotations

import inspect
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlearn.crypto import generate_keypair, keyfiles, neighbours, threshold
from tests.hostile.inputs import ODD_ARGUMENTS, attempt, public_functions

pytestmark = pytest.mark.filterwarnings("error")

PUBLIC, PRIVATE = generate_keypair(256, insecure_test_key=True)
FOLDER = Path(tempfile.mkdtemp())
# A dealer makes safe primes; the integers of Lagrange are this package's own.
NOT_OF_USERS = {"deal", "integer_lagrange"}
CALLS = {
    name: call
    for module in (keyfiles, neighbours, threshold)
    for name, call in public_functions(module).items()
    if name not in NOT_OF_USERS
}
keyfiles.write_public(FOLDER / "public", PUBLIC)
keyfiles.write_private(FOLDER / "private", PRIVATE)
keyfiles.write_secret(FOLDER / "secret", b"secret")
keyfiles.write_secret(FOLDER / "seed", bytes(keyfiles.SEED_BYTES))
ORDINARY: dict[str, Any] = {
    "public": PUBLIC, "private": PRIVATE, "passphrase": None, "insecure_test_key": True, "content": b"secret",
    "limit": 1000, "clients": 100, "corrupt": 0.1, "dropouts": 0.1, "corrupt_fraction": 0.1, "dropout_fraction": 0.1,
    "degree": 10, "context": b"round 1", "threshold": 2, "trustees": 3, "insecurity": 1e-9, "failure": 1e-6,
}  # fmt: skip
NAMED: dict[tuple[str, str], Any] = {
    ("read_public", "path"): FOLDER / "public", ("read_private", "path"): FOLDER / "private",
    ("public_half", "path"): FOLDER / "private", ("read_secret", "path"): FOLDER / "secret",
    ("is_encrypted", "path"): FOLDER / "secret", ("read_owned", "path"): FOLDER / "secret",
    ("read_seed", "path"): FOLDER / "seed",
    ("neighbours", "clients"): range(20), ("neighbours", "degree"): 4,
}  # fmt: skip
ODD = [*ODD_ARGUMENTS, [None], [[1], [2, 3]], ["word"], np.zeros(3), np.zeros((2, 0)), np.zeros(2, object)]


def ordinary(name: str) -> dict[str, Any]:
    given = {}
    for parameter in inspect.signature(CALLS[name]).parameters:
        known = parameter in ORDINARY or (name, parameter) in NAMED or name.startswith("write_")
        assert known, f"{name}: say what an ordinary {parameter} is"
        new = Path(tempfile.mkdtemp(dir=FOLDER)) / "new"
        given[parameter] = NAMED.get((name, parameter), ORDINARY.get(parameter, new))
    return given


@pytest.mark.parametrize("name", CALLS)
def test_ordinary_arguments_are_taken(name):
    assert not isinstance(attempt(CALLS[name], **ordinary(name)), Exception)


@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_taken_or_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for parameter, odd in itertools.product(ordinary(name), ODD):
        attempt(CALLS[name], **ordinary(name) | {parameter: odd})
