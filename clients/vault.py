"""A place for the signing keys of a worker's clients, so that they outlive the worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedlearn.crypto.keyfiles import read_secret, write_secret


class Vault(Protocol):
    """Kept by one worker, read by the one that takes its place."""

    def keep(self, secrets: bytes) -> None: ...

    def kept(self) -> bytes: ...


@dataclass(frozen=True)
class FileVault:
    """In a file of mode 0600. Raises `CryptoKeyError` where it cannot be written or read."""

    path: Path

    def keep(self, secrets: bytes) -> None:
        write_secret(self.path, secrets)

    def kept(self) -> bytes:
        return read_secret(self.path)
