"""`fedlearn data list|show|convert|fetch`: what data sets there are, what is in them, how to get them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlearn.datasets.letters import beginning
from fedlearn.errors import BadInput
from scenarios.command.commands import App
from scenarios.command.ending import as_typed
from scenarios.command.files import reads_a_file

if TYPE_CHECKING:
    from fedlearn.datasets import Reading

SHOWN = 300  # characters of a text

app = App(help="Data sets: what there is, what is in them, how to get them.")


@app.command("list")
def list_sets() -> None:
    """Every named data set, and whether its file was found."""
    from fedlearn.datasets.catalog import rows

    for row in rows():
        typer.secho(row.name, bold=True)
        typer.echo(f"  {row.records}; for {row.task}; clients: {row.clients}")
        typer.echo(f"  licence: {row.licence}; {row.where}")


@app.command()
@reads_a_file
def show(
    name: Annotated[str, typer.Argument(help="A data set by name, or files of your own; - is standard input.")],
    how: Reading,
) -> None:
    """Show what is in a data set: counts by class and user, words; texts only where they are not private."""
    from fedlearn.datasets.catalog import show

    about = show(name, how)
    typer.secho(about.name, bold=True)
    typer.echo(f"  {about.source}")
    typer.echo(f"  sha256 {about.sha256}")
    for fact, value in about.facts.items():
        typer.echo(f"  {fact:<18} {value}")
    for text in about.first:
        typer.echo(f"  | {_one_line(text)}")


@app.command()
@reads_a_file
def convert(
    source: Annotated[str, typer.Argument(help="Data of your own in any form; - is standard input.")],
    target: Annotated[Path, typer.Argument(help="A new file: a table with tabs; of a play or other text a .txt.")],
    how: Reading,
) -> None:
    """Write messages, or numbers in classes, as one table that every program reads; a text as plain UTF-8."""
    from fedlearn.datasets import load_anything
    from fedlearn.datasets.files.writing import write

    data = load_anything(source, how)
    typer.echo("; ".join([f"{target}: {write(data, target)}", *map(as_typed, getattr(data, "notes", ()))]))


def _one_line(text: str) -> str:
    """The beginning of a text, in a line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{beginning(line, SHOWN)}..."


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A data set with a public download.")],
    folder: Annotated[Path | None, typer.Option("--folder", help="Where to (default: FEDLEARN_DATA).")] = None,
) -> None:
    """Download a data set, verify its SHA-256, and put it where `--data` will find it."""
    from fedlearn.datasets import DATASETS
    from fedlearn.datasets.dataset import FOLDER_VARIABLE, FileSet
    from fedlearn.datasets.fetch import fetch

    known = os.environ.get(FOLDER_VARIABLE)
    where = folder or (Path(known) if known else None)
    if where is None and isinstance(DATASETS.load(name), FileSet):
        raise BadInput(f"no folder to download into: set {FOLDER_VARIABLE}, or give --folder DIR")
    typer.echo(fetch(name, where or Path()))
