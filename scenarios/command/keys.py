"""`fedlearn keys generate`: a Paillier key pair in files that phe reads too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlearn.errors import CryptoKeyError

app = typer.Typer(help="Paillier keys on disk.", no_args_is_help=True)
PUBLIC, PRIVATE = "public.json", "private.json"


@app.callback()
def keys() -> None:
    """Paillier keys on disk."""


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder for public.json and private.json.")],
    bits: Annotated[int, typer.Option(help="Size of the modulus, 2048 to 16384.")] = 3072,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Ask for a passphrase (or take FEDLEARN_PASSPHRASE) to encrypt with.")
    ] = False,
    insecure_test_key: Annotated[
        bool, typer.Option("--insecure-test-key", help="Allow a key under 2048 bits: protects nothing.")
    ] = False,
) -> None:
    """Make a key pair in phe's JSON form; the private file is readable by its owner only (mode 0600)."""
    from fedlearn.crypto import generate_keypair
    from fedlearn.crypto.keyfiles import write_private, write_public
    from fedlearn.crypto.keys import check_bits

    check_bits(bits, insecure_test_key)
    passphrase = _passphrase() if encrypt else None
    _make_folder(out)
    public, private = generate_keypair(bits, insecure_test_key=insecure_test_key)
    write_private(out / PRIVATE, private, passphrase)
    try:
        write_public(out / PUBLIC, public)
    except CryptoKeyError:
        (out / PRIVATE).unlink()  # a private key alone would stand in the way of the next attempt
        raise
    typer.echo(f"{bits}-bit key {public.fingerprint.hex()} in {out}")


def _make_folder(out: Path) -> None:
    """Before any key is made, which takes a while."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = [path for path in (out / PUBLIC, out / PRIVATE) if path.exists()]
    except OSError as error:
        raise CryptoKeyError(f"cannot make folder {out}: {error.strerror}, choose another with --out") from None
    if taken:
        raise CryptoKeyError(f"{taken[0]} exists and is not overwritten: choose another folder with --out")


def _passphrase() -> str:
    import os

    given = os.environ.get("FEDLEARN_PASSPHRASE") or typer.prompt(
        "Passphrase", hide_input=True, confirmation_prompt=True
    )
    if not given:
        raise CryptoKeyError("the passphrase is empty: give one, or leave --encrypt out")
    return given
