"""`fedlearn flower run PATH`: a Flower app in this process, as it stands."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fedlearn.errors import BadInput
from fedlearn.logs import TOLD
from fedlearn.wording import many
from scenarios.command.commands import App

app = App(help="Flower apps, run here without Ray or a daemon.")

Texts = list[str] | None


@app.callback()
def flower() -> None:
    """Flower apps, run here without Ray or a daemon."""


@app.command()
def run(
    path: Annotated[Path, typer.Argument(help="Folder of a Flower app, with its pyproject.toml.")] = Path(),
    nodes: Annotated[
        int | None, typer.Option(help="How many; by default as pyproject.toml or Flower's configuration says.")
    ] = None,
    run_config: Annotated[
        Texts, typer.Option("--run-config", "-c", help="As 'lr=0.1 name=\"x\"', or FILE.toml.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of cohorts and of each node's random numbers.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that the nodes live in; 1: this one.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line of output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line of progress.")] = False,
) -> None:
    """Run a Flower app as `flwr run` would: its pyproject.toml is read, its ServerApp and ClientApp are run."""
    from scenarios.command.interrupts import interruptible
    from scenarios.flower import read_folder, read_run_config, run_direct

    folder = read_folder(path)
    count = folder.nodes if nodes is None else nodes
    if count is None:
        raise BadInput(
            f"{folder.path}/pyproject.toml does not say how many nodes there are: give --nodes, as --nodes 10"
        )
    values = read_run_config(run_config or (), folder.run_config)
    silent = (lambda what, done, of: None) if quiet else None
    with (
        _records_shown(quiet),
        interruptible(),
        folder.loaded(seed) as (server, client),
    ):
        done = run_direct(server, client, count, seed, workers, run_config=values, progress=silent)
    if as_json:
        about = {"nodes": count, "seed": seed, "messages": done.messages, "failures": done.failures}
        typer.echo(json.dumps(about | {"seconds": round(done.seconds, 3)}))
        return
    failed = f", {done.failures} of them errors" if done.failures else ""
    typer.echo(f"{many(count, 'node')} answered {many(done.messages, 'message')}{failed}, in {done.seconds:.1f} s")


@contextmanager
def _records_shown(quiet: bool) -> Iterator[None]:
    """Meanwhile our records go to the terminal, those of the nodes' side too: who runs an app here is all its parties.

    Flower shows its own.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.ERROR if quiet else TOLD)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.addFilter(lambda record: record.name.partition(".")[0] != "flwr")
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(min(level, TOLD))
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
