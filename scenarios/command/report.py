"""`fedlearn report` and `fedlearn inspect`: run folders as one page, and in ten lines.

Nothing heavy is imported here, since `fedlearn --help` reads this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlearn.errors import BadInput


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of runs or sweeps.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page; without it report.html in the first folder.")
    ] = None,
    opened: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write one HTML page about runs: curves, time, bytes, what each party saw, losses, options, how to repeat it.

    The page stands alone: nothing that it shows is fetched from anywhere.
    """
    from scenarios.report.page import NAME, write_page

    target = out or folders[0] / NAME
    if target.is_dir():
        raise BadInput(f"--out {target} is a folder: give a file, as {target / NAME}")
    write_page(folders, target)
    typer.echo(str(target))
    if opened:
        typer.launch(target.resolve().as_uri())


def inspect(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run, or of several.")]) -> None:
    """A run in ten lines: what came out, time, bytes, losses, what each party saw, how to repeat it.

    Of a folder with several runs in it, a line for each.
    """
    from scenarios.command.ending import shown
    from scenarios.report.inspecting import told

    for line in told(folder):
        typer.echo(shown(line))
