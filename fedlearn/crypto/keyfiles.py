"""Keys on disk: phe's JSON form, secrets in files that only their owner can read.

A secret can be encrypted under a passphrase (`fedlearn.crypto.sealed`); of a private key file the public half stays
readable and is authenticated with the rest.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any

from fedlearn.checked import takes_plain
from fedlearn.configured import whole_number
from fedlearn.crypto.integers import width_of
from fedlearn.crypto.keys import MAX_BITS, PrivateKey, PublicKey
from fedlearn.crypto.sealed import seal, unseal
from fedlearn.errors import CryptoKeyError, FedlearnError
from fedlearn.untrusted import without_waiting
from fedlearn.wording import many

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # no fault of the place that the user chose
MAX_KEY_FILE = 1 << 16  # bytes; a private key of the largest size takes a fifth of it
MAX_SECRET_FILE = 1 << 20  # bytes; keys and shares of many trustees are longer
SEED_BYTES = 32  # of a file that holds nothing but a secret that others follow from
_SECRET = "fedlearn secret"
_ENCRYPTED = re.compile(rb'\s*\{\s*"encrypted"\s*:')  # the beginning of what `_dump` writes
_MAX_DIGITS = -(-MAX_BITS // 6)  # of a number in base64
_MAX_SHOWN = 40  # characters of a file's content in a message


@takes_plain
def write_public(path: Path | str, public: PublicKey) -> None:
    """Write `public` as phe's JSON form, with `blum` beside it; replaces an existing file as a whole."""
    _write(Path(path), _dump(_public_entries(public)), mode=0o644, replace=True)


@takes_plain
def read_public(path: Path | str, *, insecure_test_key: bool = False) -> PublicKey:
    """Read what `write_public` or phe wrote. Raises `CryptoKeyError`."""
    return _public_from(_load(Path(path), _read(Path(path), MAX_KEY_FILE)), insecure_test_key)


@takes_plain
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
        write_secret(path, _dump({**common, "encrypted": seal(_dump(primes), passphrase, _dump(public))}))


@takes_plain
def read_private(path: Path | str, passphrase: str | None = None, *, insecure_test_key: bool = False) -> PrivateKey:
    """Read what `write_private` or phe wrote.

    Raises `CryptoKeyError` for a file that others can read, a damaged one, or a wrong or missing passphrase.
    """
    entries = _load(Path(path), read_owned(Path(path), MAX_KEY_FILE))
    if "encrypted" in entries:
        if passphrase is None:
            raise CryptoKeyError(f"{path} is encrypted: give its passphrase")
        entries |= _load(Path(path), unseal(entries["encrypted"], passphrase, _dump(entries.get("pub"))))
    try:
        private = PrivateKey(_decode(entries["p"]), _decode(entries["q"]), insecure_test_key=insecure_test_key)
        public = _public_from(entries["pub"], insecure_test_key)
    except KeyError as error:
        raise CryptoKeyError(f"{path} holds no Paillier private key: {error} is missing, get the file anew") from None
    if private.public != public:
        raise CryptoKeyError(f"{path}: the primes do not belong to its public key: damaged file, get it anew")
    return private


@takes_plain
def public_half(path: Path | str, *, insecure_test_key: bool = False) -> PublicKey:
    """The public key that a private key's file names, encrypted or not; raises `CryptoKeyError` as reading it does."""
    entries = _load(Path(path), read_owned(Path(path), MAX_KEY_FILE))
    if "pub" not in entries:
        raise CryptoKeyError(f"{path} holds no Paillier private key: 'pub' is missing, get the file anew")
    return _public_from(entries["pub"], insecure_test_key)


@takes_plain
def write_secret(path: Path | str, content: bytes, passphrase: str | None = None) -> None:
    """Create a file of mode 0600, whole or not at all, encrypted if a passphrase is given.

    Raises `CryptoKeyError` if it exists.
    """
    if passphrase is not None:
        content = _dump({"kty": _SECRET, "encrypted": seal(content, passphrase, _SECRET.encode())})
    _write(Path(path), content, mode=0o600, replace=False)


@takes_plain
def read_secret(path: Path | str, passphrase: str | None = None) -> bytes:
    """Read what `write_secret` wrote, from a file that only its owner may read.

    Raises `CryptoKeyError` if there is none, if others can read it, if it has over `MAX_SECRET_FILE` bytes, and for a
    wrong or missing passphrase.
    """
    content = read_owned(Path(path), MAX_SECRET_FILE)
    if not _says_encrypted(content):
        return content
    entries = _load(Path(path), content)
    if passphrase is None:
        raise CryptoKeyError(f"{path} is encrypted: give its passphrase")
    return unseal(entries.get("encrypted"), passphrase, _SECRET.encode())


@takes_plain
def is_encrypted(path: Path | str) -> bool:
    """True if a secret's file needs a passphrase; raises `CryptoKeyError` as reading it does."""
    return _says_encrypted(read_owned(Path(path), MAX_SECRET_FILE))


def _says_encrypted(content: bytes) -> bool:
    """True if a secret's file holds an encrypted one, damaged or whole; a random secret may begin with a bracket."""
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError):
        return _ENCRYPTED.match(content) is not None
    return isinstance(entries, dict) and "encrypted" in entries


@takes_plain
def read_owned(path: Path, limit: int) -> bytes:
    """Up to `limit` bytes of a file that only its owner can read; raises `CryptoKeyError` for another one."""
    limit = whole_number("the limit of bytes", limit, least=0, most=2**40)
    return _read(path, limit, forbidden=stat.S_IRWXG | stat.S_IRWXO)


def read_seed(path: Path) -> bytes:
    """The `SEED_BYTES` random bytes in a file that only its owner can read; raises `CryptoKeyError` for another one."""
    content = read_owned(path, SEED_BYTES)
    if len(content) < SEED_BYTES:
        raise CryptoKeyError(
            f"{path} has {many(len(content), 'byte')} in the place of {SEED_BYTES}: bring the right file back"
        )
    return content


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
        kind = FedlearnError if error.errno in FULL else CryptoKeyError
        raise kind(f"cannot write key file {path}: {error.strerror}") from None


def _read(path: Path, limit: int, forbidden: int = 0) -> bytes:
    try:
        with open(path, "rb", opener=without_waiting) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise CryptoKeyError(f"{path} is no ordinary file: give the path of a key file")
            if mode & forbidden:
                raise CryptoKeyError(
                    f"{path} has mode {stat.S_IMODE(mode):04o}, so others can read it: chmod 600 {path}"
                )
            content = file.read(limit + 1)
    except OSError as error:
        raise CryptoKeyError(f"cannot read key file {path}: {error.strerror}") from None
    if len(content) > limit:
        raise CryptoKeyError(f"{path} has more than {many(limit, 'byte')}: no key file, give the path of one")
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
        raise CryptoKeyError(f"the public half is {_shown(entries)}, malformed: get the key file anew")
    if entries.get("alg") != "PAI-GN1":
        raise CryptoKeyError(
            f"a key for algorithm {_shown(entries.get('alg'))} is no Paillier key: 'PAI-GN1' is expected"
        )
    blum = entries.get("blum") is True
    return PublicKey(_decode(entries.get("n")), blum=blum, insecure_test_key=insecure_test_key)


def _shown(value: Any) -> str:
    """A value from a file, in a message: short, and with control characters escaped."""
    if isinstance(value, (dict, list)):
        return f"a {type(value).__name__}"  # whose text may be long, or too deep to be made
    text = ascii(value[: _MAX_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


def _encode(number: int) -> str:
    """JSON Web Key's form of an integer: base64url of its big-endian bytes, unpadded."""
    raw = number.to_bytes(width_of(number.bit_length()), "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: Any) -> int:
    if not isinstance(text, str):
        raise CryptoKeyError(f"a number of the key is {_shown(text)}, not base64: damaged file, get it anew")
    if len(text) > _MAX_DIGITS + 4:
        raise CryptoKeyError(
            f"a number of the key has {many(len(text), 'character')}: at most {_MAX_DIGITS:,} for {MAX_BITS} bits"
        )
    try:
        return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big")
    except ValueError:
        raise CryptoKeyError(f"a number of the key is {_shown(text)}, not base64: damaged file, get it anew") from None


def _dump(entries: Any) -> bytes:
    try:
        return json.dumps(entries, sort_keys=True).encode() + b"\n"
    except RecursionError:  # of what was read: writing takes more depth than reading
        raise CryptoKeyError("the public half holds lists within lists: damaged file, get it anew") from None


def _load(path: Path, content: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError):  # the latter for brackets within brackets
        raise CryptoKeyError(f"{path} is not JSON: damaged or no key file, get it anew") from None
    if not isinstance(entries, dict):
        raise CryptoKeyError(f"{path} holds {_shown(entries)}, no key: give the path of a key file")
    return entries
