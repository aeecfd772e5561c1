"""`fedlearn sweep SCENARIO`: the grid of options and seeds, run in several processes, and its table.

Nothing heavy is imported here, since `fedlearn --help` reads this file.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedlearn.disk import unused
from fedlearn.errors import BadInput
from fedlearn.wording import many
from scenarios.command.about import flag
from scenarios.command.commands import parameter, taking
from scenarios.command.options import ABOUT, MOST_WORKERS

if TYPE_CHECKING:
    from scenarios.sweep.folder import SweepFolder
    from scenarios.sweep.grid import Run
    from scenarios.sweep.jobs import Ended

NOT_SWEPT = ("seed", "out", "resume")
SHOWN = 4  # figures of a run in the line about it


def _parameters() -> list[Parameter]:
    """Parameters of `sweep`: its own options, and one for each of `Options`, which may be given several times."""
    several = list[str] | None
    own = [
        parameter("scenario", str, typer.Argument(help="A name from `fedlearn list scenario`."), Parameter.empty),
        parameter(
            "seeds", several, typer.Option("--seeds", metavar="A..B|N,N...", help="Of every choice; without it 0."),
        ),
        parameter("config", Path | None, typer.Option("--config", help="Options from a TOML file, as of `run`.")),
        parameter("out", Path | None, typer.Option("--out", help="Folder of all runs; one that is there goes on.")),
        parameter("jobs", int | None, typer.Option("--jobs", help="Runs at a time; without it one for each core.")),
        parameter("budget", float | None, typer.Option("--budget", help="Seconds after which it stops.")),
        parameter("form", str, typer.Option("--format", help="Of the table: text, csv, markdown or latex."), "text"),
        parameter("as_json", bool, typer.Option("--json", help="One JSON object as the last line of output."), False),
        parameter("quiet", bool, typer.Option("--quiet", help="No line a run."), False),
    ]  # fmt: skip
    swept = [
        parameter(name, several, typer.Option(flag(name), metavar=about.form, help=about.help))
        if about.form
        else parameter(name, bool, typer.Option(flag(name), help=about.help), False)
        for name, about in ABOUT.items()
        if name not in NOT_SWEPT
    ]
    return [*own, *swept]


@taking(_parameters())
def sweep(
    scenario: str,
    seeds: list[str] | None,
    config: Path | None,
    out: Path | None,
    jobs: int | None,
    budget: float | None,
    form: str,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Run a scenario over a grid: every combination of the values given, with every seed; mean, sd, 95% interval.

    Each run is a folder; report.html shows all of them. The same command again goes on where it stopped; a run that
    fails is told at the end.
    """
    from scenarios.command.interrupts import interruptible
    from scenarios.sweep.folder import SweepFolder
    from scenarios.sweep.grid import grid
    from scenarios.sweep.jobs import run_all
    from scenarios.sweep.table import FORMATS

    if form not in FORMATS:
        raise BadInput(f"--format is {form}: choose {', '.join(FORMATS)}")
    if jobs is not None and not 1 <= jobs <= MOST_WORKERS:
        raise BadInput(f"--jobs is {jobs}, a number from 1 to {MOST_WORKERS} is needed")
    if budget is not None and not 0 < budget < float("inf"):
        raise BadInput(f"--budget is {budget}, a number of seconds above 0 is needed")
    texts, seeds = _texts(given, seeds, config, scenario)
    runs = grid(scenario, texts, seeds)
    place = out or unused(Path("runs") / f"sweep-{scenario}-{time.strftime('%Y%m%d-%H%M%S')}")
    folder = SweepFolder(place, scenario, runs)
    workers = min(jobs or len(os.sched_getaffinity(0)), max(1, len(folder.waiting)))

    def tell(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    done = len(runs) - len(folder.waiting)
    tell(f"{many(len(runs), 'run')} of {scenario}, {done} done before, {workers} at a time, in {folder.path}")
    ended: list[Ended] = []
    with interruptible(), folder.kept():
        began = time.monotonic()
        for each in run_all(folder.jobs(), workers, budget):
            ended.append(each)
            tell(_progress(runs[each.number], each, folder, len(ended), time.monotonic() - began))
    if any(row.runs for row in folder.rows()):
        tell(f"report: {_write_report(folder.path)}")
    _tell_result(folder, ended, form, as_json)


def _write_report(path: Path) -> Path:
    """The page about all runs of the folder."""
    from scenarios.report.page import NAME, write_page

    write_page([path], path / NAME)
    return path / NAME


def _texts(
    given: dict[str, Any], seeds: list[str] | None, config: Path | None, scenario: str
) -> tuple[dict[str, list[str]], list[str]]:
    """The texts of each option, and of the seeds: those that were typed, else those of --config."""
    from scenarios.command.config import SCENARIO, read_config

    known = read_config(config) if config is not None else {}
    if known.pop(SCENARIO, scenario) != scenario:
        raise BadInput(f"{config} is of another scenario than {scenario}: take that scenario, or its line out")
    base = known.pop("seed", "0")
    typed = {name: ["true"] if value is True else value for name, value in given.items() if value}
    return {name: [value] for name, value in known.items()} | typed, seeds or [base]


def _progress(run: Run, ended: Ended, folder: SweepFolder, count: int, seconds: float) -> str:
    """The line about a run that ended: what came out, and how long the rest takes."""
    total = len(folder.waiting)
    left = seconds / count * (total - count)
    found = ", ".join(f"{name} {value:.4g}" for name, value in list(folder.figures(run).items())[:SHOWN])
    result = f"failed: {ended.failure}" if ended.failure else found
    rest = f"; about {left:.0f} s left" if count < total else ""
    return f"{count:>5} of {total}  {run.label()} seed={run.seed}: {result}{rest}"


def _tell_result(folder: SweepFolder, ended: list[Ended], form: str, as_json: bool) -> None:
    """The table on standard output, and what is missing on standard error; exit status 1 where a run failed."""
    from scenarios.sweep.table import FORMATS

    failed = [each for each in ended if each.failure]
    rest = len(folder.waiting) - len(ended)
    rows = folder.rows()
    if as_json:
        typer.echo(json.dumps(folder.to_dict(ended)))
    elif any(row.runs for row in rows):
        typer.echo(FORMATS[form][1](rows), nl=False)
    for each in failed:
        run = folder.runs[each.number]
        print(f"failed: {run.label()} seed={run.seed}: {each.failure} ({folder.path / run.folder})", file=sys.stderr)
    if rest:
        print(
            f"{many(rest, 'run')} left: give the same command with --out {shlex.quote(str(folder.path))} to go on",
            file=sys.stderr,
        )
    if failed:
        raise typer.Exit(1)
