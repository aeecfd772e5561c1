"""Clients' signing keys that were agreed outside of the aggregator: a folder, which `fedlearn keys pki` makes.

`client-3.public` is client 3's public key, 32 raw bytes (Ed25519), `client-3.private`, of mode 0600, the secret that
belongs to it. Who checks a roster needs the public ones only. In a real deployment each client has its own private key
and no other; in a simulation all lie in one folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedlearn.checked import takes_plain
from fedlearn.configured import whole_number
from fedlearn.crypto.keyfiles import read_secret, write_secret
from fedlearn.crypto.signing import PUBLIC_BYTES, SigningKey
from fedlearn.disk import at_home
from fedlearn.errors import BadInput, CryptoKeyError, ProtocolError
from fedlearn.protocol import client_name, party_name
from fedlearn.untrusted import content

LARGEST = 4096  # bytes of a file that may be a key
MOST_KEYS = 10**6  # that are made at once: two files each


def public_name(client: int) -> str:
    return f"{client_name(client)}.public"


def private_name(client: int) -> str:
    return f"{client_name(client)}.private"


@dataclass(frozen=True)
class Pki:
    """A folder of clients' signing keys."""

    folder: Path

    def __post_init__(self) -> None:
        if not isinstance(self.folder, str | Path):
            raise BadInput(f"the folder of clients' keys is {self.folder!r:.60}, a path is needed")
        object.__setattr__(self, "folder", at_home(self.folder).absolute())

    def check_folder(self) -> None:
        """Raise `CryptoKeyError` where there is no such folder."""
        if not self.folder.is_dir():
            raise CryptoKeyError(f"{self.folder} is no folder: make keys with fedlearn keys pki --clients N --out DIR")

    @takes_plain
    def make(self, clients: int) -> None:
        """Write the keys of clients 0, 1, ... into a folder that has none; raises `CryptoKeyError`."""
        whole_number("clients", clients, 1, MOST_KEYS)
        for client in range(clients):
            key = SigningKey()
            write_secret(self.folder / private_name(client), key.to_bytes())
            (self.folder / public_name(client)).write_bytes(key.public)

    def public(self, client: int) -> bytes:
        """Raises `CryptoKeyError` for a client that has no key here."""
        path = self.folder / public_name(client)
        try:
            key = content(path, LARGEST)
        except OSError as error:
            raise CryptoKeyError(f"{path} cannot be read: {error.strerror}") from None
        if len(key) != PUBLIC_BYTES:
            raise CryptoKeyError(f"{path} is no Ed25519 public key of {PUBLIC_BYTES} raw bytes")
        return key

    def signing_key(self, client: int) -> SigningKey:
        """Raises `CryptoKeyError` where it is missing, or does not belong to the public one."""
        key = SigningKey(read_secret(self.folder / private_name(client)))
        if key.public != self.public(client):
            raise CryptoKeyError(f"{self.folder / private_name(client)} does not belong to the public key beside it")
        return key

    @takes_plain
    def check(self, roster: Mapping[int, bytes]) -> None:
        """Raise `ProtocolError` for a client in a plan's roster that is not known here, or has another key here."""
        for client, key in roster.items():
            try:
                known = self.public(client)
            except CryptoKeyError as error:
                raise ProtocolError(f"the plan's roster has {party_name(client)}, who is that? {error}") from None
            if known != key:
                raise ProtocolError(
                    f"the plan's roster has key {key.hex()[:16]} for {party_name(client)}, in {self.folder} it is "
                    f"{known.hex()[:16]}: somebody is in its place"
                )
