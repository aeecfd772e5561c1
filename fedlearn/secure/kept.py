"""Keys that are kept in a folder and used by many runs: what `fedlearn keys generate` writes and --keys takes.

`public.json` and `private.json` are a Paillier key pair, in phe's form; `threshold.key` with `trustee-1.share` and so
on is a shared key. Only the process of the key holder, or of a trustee, reads its secret and asks for the passphrase.
"""

from __future__ import annotations

import getpass
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fedlearn.checked import takes_plain
from fedlearn.crypto import PrivateKey, PublicKey
from fedlearn.crypto.keyfiles import is_encrypted, public_half, read_owned, read_private, read_public, read_secret
from fedlearn.crypto.keys import KEY_BITS
from fedlearn.disk import at_home
from fedlearn.errors import BadInput, CryptoKeyError
from fedlearn.untrusted import content

if TYPE_CHECKING:
    from fedlearn.crypto.threshold import KeyShare, ThresholdKey

PUBLIC, PRIVATE, SHARED = "public.json", "private.json", "threshold.key"
PASSPHRASE = "FEDLEARN_PASSPHRASE"  # the variable of the environment
LONGEST = 4096  # bytes of a file that holds a passphrase


def share_name(trustee: int) -> str:
    return f"trustee-{trustee}.share"


@dataclass(frozen=True)
class KeptKeys:
    """A folder of keys. passphrase_file: where the passphrase of its secrets stands, if in a file."""

    folder: Path
    passphrase_file: Path | None = None

    def __post_init__(self) -> None:
        for name in ("folder", "passphrase_file"):
            given = getattr(self, name)
            if given is None and name == "passphrase_file":
                continue
            if not isinstance(given, str | Path):
                raise BadInput(f"{name} of keys is {given!r:.60}, a path is needed")
            object.__setattr__(self, name, at_home(given))

    @takes_plain
    def check_bits(self, asked: int, bits: int) -> None:
        """Raise `CryptoKeyError` where the user asked for a key of another size than that of the one that is kept."""
        if asked not in (KEY_BITS, bits):
            raise CryptoKeyError(f"key_bits is {asked}, the key in {self.folder} has {bits}: leave key_bits out")

    @cached_property
    def has_pair(self) -> bool:
        return self._has(PUBLIC) or self._has(PRIVATE)

    @cached_property
    def has_shared(self) -> bool:
        return self._has(SHARED)

    def pair(self, insecure_test_key: bool) -> PublicKey:
        """The public half of the pair, whose private half is there too; raises `CryptoKeyError` where it is not."""
        self._check_there(self.has_pair, "paillier", "threshold" if self.has_shared else "")
        for name, what in ((PUBLIC, "public"), (PRIVATE, "private")):
            if not self._has(name):
                raise CryptoKeyError(
                    f"{self.folder / name} is lost, and no sum can be opened without the {what} key: "
                    "bring the file back, or make new keys with fedlearn keys generate"
                )
        return read_public(self.folder / PUBLIC, insecure_test_key=insecure_test_key)

    def shared(self, insecure_test_key: bool) -> ThresholdKey:
        """The public part of a shared key; raises `CryptoKeyError` where there is none."""
        self._check_there(self.has_shared, "threshold", "paillier" if self.has_pair else "")
        try:
            data = content(self.folder / SHARED)
        except OSError as error:
            raise CryptoKeyError(f"cannot read key file {self.folder / SHARED}: {error.strerror}") from None
        from fedlearn.crypto.threshold import ThresholdKey

        return ThresholdKey.from_bytes(data, insecure_test_key=insecure_test_key)

    def shares(self, trustees: int) -> dict[int, Path]:
        """The files of the shares that are there, by trustee."""
        files = {trustee: self.folder / share_name(trustee) for trustee in range(1, trustees + 1)}
        return {trustee: file for trustee, file in files.items() if file.exists()}

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _check_there(self, there: bool, wanted: str, other: str) -> None:
        if there:
            return
        if not self.folder.is_dir():
            raise CryptoKeyError(f"{self.folder} is no folder: make keys with fedlearn keys generate --out DIR")
        has = f"keys for {other}: take protection={other}" if other else "no keys: give the folder of some"
        raise CryptoKeyError(f"{self.folder} holds {has}, or make keys with fedlearn keys generate")


def kept_pair(keys: KeptKeys, insecure_test_key: bool) -> tuple[PublicKey, PrivateKey]:
    """Both halves from the files; raises `CryptoKeyError` where they cannot be read or are not of one pair."""
    public, file = keys.pair(insecure_test_key), keys.folder / PRIVATE
    check_public_half(file, public, insecure_test_key)
    private = read_private(file, passphrase_of(file, keys.passphrase_file), insecure_test_key=insecure_test_key)
    return public, private


def check_public_half(file: Path, public: PublicKey, insecure_test_key: bool) -> None:
    """Raise `CryptoKeyError` where a private key's file says that it is another's; no secret is read of it."""
    found = public_half(file, insecure_test_key=insecure_test_key)
    if found != public:
        raise CryptoKeyError(
            f"{file} is of key {found.fingerprint.hex()}, {PUBLIC} beside it of {public.fingerprint.hex()}: "
            "bring the right file back"
        )


def kept_share(file: Path, passphrase_file: Path | None, key: ThresholdKey) -> KeyShare:
    """The share in a file; raises `CryptoKeyError`, which names the file, for one that is damaged or another's."""
    from fedlearn.crypto.threshold import KeyShare

    try:
        share = KeyShare.from_bytes(read_secret(file, passphrase_of(file, passphrase_file)), key)
    except CryptoKeyError as error:
        raise CryptoKeyError(str(error) if str(file) in str(error) else f"{file}: {error}") from None
    if file.name != share_name(share.trustee):
        raise CryptoKeyError(f"{file} is of trustee {share.trustee}: bring the right file back")
    return share


def passphrase_of(secret: Path, file: Path | None) -> str | None:
    """The passphrase of a secret's file: None if it is not encrypted, else from a file, the environment, or a prompt.

    Raises `CryptoKeyError` where there is nobody to ask.
    """
    if not is_encrypted(secret):
        return None
    return given_passphrase(file) or _asked(f"Passphrase of {secret}: ", secret)


def given_passphrase(file: Path | None) -> str | None:
    """The passphrase in a file that only its owner can read, or in the environment; None where neither is given."""
    if file is None:
        return os.environ.get(PASSPHRASE) or None
    lines = read_owned(at_home(file), LONGEST).decode(errors="surrogateescape").splitlines()
    if not lines or not lines[0]:
        raise CryptoKeyError(f"{file} is empty: write the passphrase into its first line")
    return lines[0]


def _asked(prompt: str, secret: Path) -> str:
    if os.name == "posix" and not _has_terminal():
        raise CryptoKeyError(
            f"{secret} is encrypted and there is no terminal to ask at: give --passphrase-file FILE or set {PASSPHRASE}"
        )
    with _interruptible():
        given = getpass.getpass(prompt)
    if not given:
        raise CryptoKeyError(f"no passphrase was given for {secret}: try again")
    return given


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


@contextmanager
def _interruptible() -> Iterator[None]:
    """Meanwhile Ctrl-C ends this process, which elsewise leaves it to its parent: the terminal shows letters again."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, before)
