"""`fedlearn keys generate|show|pki`: keys on disk, which `fedlearn run --keys DIR --pki DIR` uses over several runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlearn.errors import CryptoKeyError
from fedlearn.wording import many
from scenarios.command.commands import App

if TYPE_CHECKING:
    from fedlearn.secure.kept import KeptKeys

SHORTEST = 8  # characters of a passphrase

app = App(help="Keys on disk: of Paillier, alone or shared among trustees, and of clients that sign.")


@app.callback()
def keys() -> None:
    """Keys on disk: of Paillier, alone or shared among trustees, and of clients that sign."""


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder for the files of the key.")],
    threshold: Annotated[
        str | None,
        typer.Option("--threshold", metavar="T/N", help="Share the key: T of N trustees open a sum, as in 4/5."),
    ] = None,
    bits: Annotated[int, typer.Option(help="Size of the modulus, 2048 to 16384.")] = 3072,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Ask for a passphrase to encrypt with; FEDLEARN_PASSPHRASE is one.")
    ] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", help="Encrypt with the passphrase in the first line of a file.")
    ] = None,
    insecure_test_key: Annotated[
        bool, typer.Option("--insecure-test-key", help="Allow a key under 2048 bits: protects nothing.")
    ] = False,
) -> None:
    """Make keys: a pair in phe's JSON form, or with --threshold one that nobody holds. Secrets are of mode 0600."""
    from fedlearn.crypto import generate_keypair
    from fedlearn.crypto.keyfiles import write_private, write_public
    from fedlearn.crypto.keys import check_bits
    from fedlearn.secure.kept import PASSPHRASE, PRIVATE, PUBLIC, SHARED, share_name
    from fedlearn.secure.threshold import Threshold, deal_into, parties_in

    check_bits(bits, insecure_test_key)
    parties = None if threshold is None else parties_in(threshold)
    if parties:
        Threshold(*parties)  # refuses numbers that would not protect
    names = [PUBLIC, PRIVATE] if parties is None else [SHARED, *(share_name(i + 1) for i in range(parties[1]))]
    with _written_whole(out, names):
        given = encrypt or passphrase_file or os.environ.get(PASSPHRASE)
        passphrase = _new_passphrase(passphrase_file) if given else None
        if parties is None:
            public, private = generate_keypair(bits, insecure_test_key=insecure_test_key)
            write_private(out / PRIVATE, private, passphrase)
            write_public(out / PUBLIC, public)
        else:
            public = deal_into(*parties, bits, insecure_test_key, out, passphrase).public
    of = f" in {many(parties[1], 'share')}, {parties[0]} of which open a sum," if parties else ""
    locked = "encrypted" if passphrase else "not encrypted: --encrypt does that"
    typer.echo(f"{bits}-bit key {public.fingerprint.hex()}{of} in {out}; {locked}")


@app.command()
def pki(
    clients: Annotated[int, typer.Option("--clients", min=1, help="How many clients.")],
    out: Annotated[Path, typer.Option(help="Folder for the files of the keys.")],
) -> None:
    """Make signing keys for clients, to be agreed on outside of the aggregator: `fedlearn run --pki DIR` uses them."""
    from fedlearn.secure.pki import Pki, private_name, public_name

    names = [name(client) for client in range(clients) for name in (public_name, private_name)]
    with _written_whole(out, names):
        Pki(out).make(clients)
    typer.echo(f"signing keys of {many(clients, 'client')} in {out}")


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A folder that `fedlearn keys generate` made.")],
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", help="Check encrypted secrets too, with this passphrase.")
    ] = None,
) -> None:
    """Show the keys that a folder holds, and whether all files are there and belong to them; no secret is shown."""
    from fedlearn.secure.kept import KeptKeys

    kept = KeptKeys(folder, passphrase_file)
    for line in [*_of_pair(kept), *_of_shares(kept)]:
        typer.echo(line)


def _of_pair(kept: KeptKeys) -> Iterator[str]:
    from fedlearn.secure.kept import PRIVATE, check_public_half, kept_pair

    if not kept.has_pair and kept.has_shared:
        return
    public = kept.pair(insecure_test_key=True)

    def check(file: Path, locked: bool) -> None:
        check_public_half(file, public, insecure_test_key=True)
        if not locked:
            kept_pair(kept, insecure_test_key=True)

    yield f"paillier: {public.bits}-bit key {public.fingerprint.hex()}{_doubt(public.bits)}"
    state, fits = _state(kept, kept.folder / PRIVATE, check)
    yield f"  {PRIVATE}: {state}"
    if not fits:
        yield "  no sum can be opened"


def _of_shares(kept: KeptKeys) -> Iterator[str]:
    from fedlearn.secure.kept import kept_share, share_name

    if not kept.has_shared:
        return
    key = kept.shared(insecure_test_key=True)
    there, fitting = kept.shares(key.trustees), 0
    yield (
        f"threshold:{key.threshold}/{key.trustees}: {key.public.bits}-bit key {key.public.fingerprint.hex()}"
        f"{_doubt(key.public.bits)}"
    )

    def check(file: Path, locked: bool) -> None:
        if not locked:
            kept_share(file, kept.passphrase_file, key)
            return
        twin = next(other for other in there.values() if other == file or _same(file, other))
        if twin != file:
            raise CryptoKeyError(f"the same bytes as {twin.name}, one of the two is wrong: bring the right file back")

    for trustee in range(1, key.trustees + 1):
        state, fits = _state(kept, there[trustee], check) if trustee in there else ("lost", False)
        fitting += fits
        yield f"  {share_name(trustee)}: {state}"
    if fitting < key.threshold:
        yield f"  {many(fitting, 'share is', 'shares are')} left and {key.threshold} are needed: no sum can be opened"


def _state(kept: KeptKeys, secret: Path, check: Callable[[Path, bool], None]) -> tuple[str, bool]:
    """The state of a secret's file in words, and True where it may be used.

    check: raises `CryptoKeyError` for a file that is another's; told whether it is locked, encrypted without a
    passphrase at hand, so that only what stands beside the secret can be looked at.
    """
    from fedlearn.crypto.keyfiles import is_encrypted
    from fedlearn.secure.kept import given_passphrase

    try:
        encrypted = is_encrypted(secret)
        locked = encrypted and given_passphrase(kept.passphrase_file) is None
        check(secret, locked)
    except CryptoKeyError as error:
        return str(error).replace(f"{secret}: ", "").replace(f"{secret} ", ""), False
    checked = ", not checked: give --passphrase-file FILE" if locked else ", belongs to the key"
    return ("encrypted" if encrypted else "not encrypted") + checked, True


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _doubt(bits: int) -> str:
    from fedlearn.crypto.keys import MIN_BITS

    return ", a test key that protects nothing" if bits < MIN_BITS else ""


@contextmanager
def _written_whole(out: Path, names: list[str]) -> Iterator[None]:
    """Make the folder, and take the files out of it again where something fails; none of them may be there before."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = [out / name for name in names if (out / name).exists()]
    except OSError as error:
        raise CryptoKeyError(f"cannot make folder {out}: {error.strerror}, choose another with --out") from None
    if taken:
        raise CryptoKeyError(f"{taken[0]} exists and is not overwritten: choose another folder with --out")
    try:
        yield
    except BaseException:
        for name in names:  # half a key would stand in the way of the next attempt
            (out / name).unlink(missing_ok=True)
        raise


def _new_passphrase(file: Path | None) -> str:
    """The passphrase, from the file, the environment, or a prompt; raises `CryptoKeyError` for a short one."""
    from fedlearn.secure.kept import given_passphrase

    given = given_passphrase(file) or typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True)
    if len(given) < SHORTEST:
        raise CryptoKeyError(
            f"a passphrase of {many(len(given), 'character')} is guessed at once: give {SHORTEST} or more"
        )
    return str(given)
