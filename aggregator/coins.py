"""The key that secret cohorts follow from: a file in the run folder, of mode 0600."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from fedlearn.crypto.keyfiles import read_seed
from fedlearn.errors import CryptoKeyError, LedgerError


def coins_of_tests(seed: int) -> bytes:
    """Those that anybody can compute from a test's seed."""
    return sha256(f"fedlearn cohorts {seed}".encode()).digest()


def read_coins(path: Path) -> bytes:
    """Those of a run that goes on; raises `LedgerError` where they cannot be used."""
    try:
        return read_seed(path)
    except CryptoKeyError as error:
        raise LedgerError(
            f"the key of the cohorts is needed, and {error}: other cohorts would be other coins than those that were "
            "charged, so mend the file, or begin another run"
        ) from None
