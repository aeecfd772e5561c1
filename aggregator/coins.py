"""The key that secret cohorts follow from: a file in the run folder, of mode 0600."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from fedlearn.crypto.keyfiles import read_seed
from fedlearn.errors import CryptoKeyError, LedgerError


def coins_of_tests(seed: int) -> bytes:
    """The key of cohorts in a test: anybody can compute it from the seed."""
    return sha256(f"fedlearn cohorts {seed}".encode()).digest()


def read_coins(path: Path) -> bytes:
    """The key of a run that goes on; raises `LedgerError` where the file cannot be used."""
    try:
        return read_seed(path)
    except CryptoKeyError as error:
        raise LedgerError(
            f"the key of the cohorts is needed, and {error}: other cohorts would be other coins than those that were "
            "charged, so mend the file, or begin another run"
        ) from None
