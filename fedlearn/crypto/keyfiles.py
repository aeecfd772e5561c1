"""Keys on disk: phe's JSON form, secrets in files that only their owner can read.

A private key file can be encrypted under a passphrase (scrypt, RFC 7914, and AES-256-GCM); the public half stays
readable in it and is authenticated with the rest.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedlearn.crypto.keys import PrivateKey, PublicKey
from fedlearn.errors import CryptoKeyError

_SCRYPT = {"n": 1 << 17, "r": 8, "p": 1}  # 128 MiB, about half a second
_MAX_KEY_FILE = 1 << 20  # bytes


def write_public(path: Path | str, public: PublicKey) -> None:
    """Write `public` as phe's JSON form, with `blum` beside it; replaces an existing file as a whole."""
    _write(Path(path), _dump(_public_entries(public)), mode=0o644, replace=True)


def read_public(path: Path | str, *, insecure_test_key: bool = False) -> PublicKey:
    """Read what `write_public` or phe wrote. Raises `CryptoKeyError`."""
    return _public_from(_load(Path(path), _read(Path(path))), insecure_test_key)


def write_private(path: Path | str, private: PrivateKey, passphrase: str | None = None) -> None:
    """Write `private` as phe's JSON form with mode 0600, encrypted if a passphrase is given.

    Never overwrites: raises `CryptoKeyError` if `path` exists.
    """
    public = _public_entries(private.public)
    primes = dict(zip("pq", (_encode(int(prime)) for prime in private.primes), strict=True))
    common = {"kty": "DAJ", "key_ops": ["decrypt"], "kid": "fedlearn Paillier private key", "pub": public}
    if passphrase is None:
        write_secret(path, _dump({**common, **primes}))
    else:
        write_secret(path, _dump({**common, "encrypted": _seal(_dump(primes), passphrase, _dump(public))}))


def read_private(path: Path | str, passphrase: str | None = None, *, insecure_test_key: bool = False) -> PrivateKey:
    """Read what `write_private` or phe wrote.

    Raises `CryptoKeyError` for a file that others can read, a damaged one, or a wrong or missing passphrase.
    """
    entries = _load(Path(path), read_secret(path))
    if "encrypted" in entries:
        if passphrase is None:
            raise CryptoKeyError(f"{path} is encrypted: give its passphrase")
        entries |= _load(Path(path), _open(entries["encrypted"], passphrase, _dump(entries.get("pub"))))
    try:
        private = PrivateKey(_decode(entries["p"]), _decode(entries["q"]), insecure_test_key=insecure_test_key)
        public = _public_from(entries["pub"], insecure_test_key)
    except (KeyError, TypeError) as error:
        raise CryptoKeyError(f"{path} holds no Paillier private key: {error} is missing or malformed") from None
    if private.public != public:
        raise CryptoKeyError(f"{path}: the primes do not belong to its public key: damaged file")
    return private


def write_secret(path: Path | str, content: bytes) -> None:
    """Create a file of mode 0600, whole or not at all; raises `CryptoKeyError` if it exists."""
    _write(Path(path), content, mode=0o600, replace=False)


def read_secret(path: Path | str) -> bytes:
    """Read a file that only its owner may read; raises `CryptoKeyError` if others can, or if there is none."""
    return _read(Path(path), forbidden=stat.S_IRWXG | stat.S_IRWXO)


def _write(path: Path, content: bytes, mode: int, replace: bool) -> None:
    """Through a temporary file (created with mode 0600) beside `path`, so that no reader meets half a file."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            if replace:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)  # fails where a file stands
        finally:
            Path(temporary).unlink(missing_ok=True)
    except FileExistsError:
        raise CryptoKeyError(f"{path} exists and is not overwritten: choose another place or move it away") from None
    except OSError as error:
        raise CryptoKeyError(f"cannot write key file {path}: {error.strerror}") from None


def _read(path: Path, forbidden: int = 0) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & forbidden:
                raise CryptoKeyError(f"{path} has mode {mode:04o}, so others can read it: chmod 600 {path}")
            content = file.read(_MAX_KEY_FILE + 1)
    except OSError as error:
        raise CryptoKeyError(f"cannot read key file {path}: {error.strerror}") from None
    if len(content) > _MAX_KEY_FILE:
        raise CryptoKeyError(f"{path} has more than {_MAX_KEY_FILE} bytes: no key file")
    return content


def _public_entries(public: PublicKey) -> dict[str, Any]:
    return {
        "kty": "DAJ",
        "alg": "PAI-GN1",
        "key_ops": ["encrypt"],
        "n": _encode(public.n),
        "kid": "fedlearn Paillier public key",
        "blum": public.blum,
    }


def _public_from(entries: Any, insecure_test_key: bool) -> PublicKey:
    if not isinstance(entries, dict):
        raise CryptoKeyError(f"the public half is {entries!r}: missing or malformed")
    if entries.get("alg") != "PAI-GN1":
        raise CryptoKeyError(f"a key for algorithm {entries.get('alg')!r} is no Paillier key: 'PAI-GN1' is expected")
    blum = entries.get("blum") is True
    return PublicKey(_decode(entries.get("n")), blum=blum, insecure_test_key=insecure_test_key)


def _encode(number: int) -> str:
    """JSON Web Key's form of an integer: base64url of its big-endian bytes, unpadded."""
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: Any) -> int:
    try:
        return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big")
    except (TypeError, ValueError):
        raise CryptoKeyError("a number of the key is not base64: damaged file") from None


def _dump(entries: Any) -> bytes:
    return json.dumps(entries, sort_keys=True).encode() + b"\n"


def _load(path: Path, content: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(content)
    except ValueError:
        raise CryptoKeyError(f"{path} is not JSON: damaged or no key file") from None
    if not isinstance(entries, dict):
        raise CryptoKeyError(f"{path} holds no key")
    return entries


def _seal(content: bytes, passphrase: str, authenticated: bytes) -> dict[str, Any]:
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    data = AESGCM(_derive(passphrase, salt)).encrypt(nonce, content, authenticated)
    texts = {name: raw.hex() for name, raw in (("salt", salt), ("nonce", nonce), ("data", data))}
    return {"kdf": "scrypt", **_SCRYPT, "cipher": "AES-256-GCM", **texts}


def _open(sealed: Any, passphrase: str, authenticated: bytes) -> bytes:
    expected = {"kdf": "scrypt", **_SCRYPT, "cipher": "AES-256-GCM"}
    if not isinstance(sealed, dict) or {key: sealed.get(key) for key in expected} != expected:
        raise CryptoKeyError(f"the key is encrypted in an unknown way: {expected} is expected")
    try:
        salt, nonce, data = (bytes.fromhex(sealed[name]) for name in ("salt", "nonce", "data"))
        return AESGCM(_derive(passphrase, salt)).decrypt(nonce, data, authenticated)
    except (KeyError, TypeError, ValueError):
        raise CryptoKeyError("the encrypted part of the key file is malformed: damaged file") from None
    except InvalidTag:
        raise CryptoKeyError("wrong passphrase, or a damaged key file") from None


def _derive(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, **_SCRYPT).derive(passphrase.encode())
