"""The noise that one party adds to opened sums: fresh in each, or correlated over rounds from a secret of its own."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np

from fedlearn.crypto.keyfiles import SEED_BYTES, read_seed, write_secret
from fedlearn.privacy.banded import BandedNoise
from fedlearn.privacy.terms import Terms


class SumNoise:
    """The noise of a key holder, or an aggregator. It keeps the key only, from which all correlated noise follows."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(SEED_BYTES)
        self._kept: Path | None = None
        self._fresh = True
        self._correlated: BandedNoise | None = None

    def keep(self, path: Path, fresh: bool) -> None:
        """Have the key of correlated noise in this file, once there is some. fresh: no sum was opened before."""
        self._kept, self._fresh = path, fresh

    def added(self, terms: Terms, total: np.ndarray, round: int, group: int = 0) -> np.ndarray:
        """A sum, int64 (n,), with its noise; that of each group has its own.

        Raises `CryptoKeyError` for a kept key that is missing, damaged, or may be read by others.
        """
        if terms.bands == 1:
            own: np.ndarray = total + terms.draw(len(total), round, f"sum {group}" if group else "sum")
            return own
        if self._correlated is None:
            self._correlated = terms.correlated(self._known())
        noised: np.ndarray = self._correlated.added(total, round, group)
        return noised

    def released(self, terms: Terms, total: np.ndarray, round: int, group: int = 0) -> np.ndarray:
        """An opened sum as it may be used: with noise, where that is for the aggregator to add."""
        return self.added(terms, total, round, group) if terms.where == "aggregator" else total

    def _known(self) -> bytes:
        """The key, in its file by then."""
        if self._kept is None:
            return self._key
        if self._fresh and not self._kept.exists():
            write_secret(self._kept, self._key)
        return read_seed(self._kept)
