"""The `fedlearn` command. Exit status: 0 done, 2 bad input, 1 failed, 130 interrupted.

Results go to standard output, the rest to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from copy import copy
from importlib import import_module
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlearn.disk import at_home
from fedlearn.errors import BadInput
from scenarios.command.about import flag
from scenarios.command.commands import App, Command, parameter, taking
from scenarios.command.ending import failure_of, flush_output, shown
from scenarios.command.options import ABOUT, Options
from scenarios.command.streams import prepare_streams
from scenarios.command.texts import read_options, typed

if TYPE_CHECKING:
    from scenarios.command.outcome import Outcome

app = App(
    help="Federated, privacy-preserving training you can run, measure and attack.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
GROUPS = ("data", "keys", "flower")  # modules of this folder, each with an app of its own
ELSEWHERE = {  # commands by name: a module of this folder and the function in it
    "ask": ("ask", "ask"), "sweep": ("sweep", "sweep"), "report": ("report", "report"),
    "inspect": ("report", "inspect"), "privacy": ("privacy", "privacy"), "predict": ("asking", "predict"),
    "evaluate": ("asking", "evaluate"), "generate": ("asking", "generate"), "export": ("exchange", "export"),
    "import": ("exchange", "import_"),
}  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="One JSON object as the last line of output.")]


class RunCommand(Command):
    """`fedlearn run`: its help is that of the scenario, where one is named, and --resume may stand without a folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if {"-h", "--help"} & set(args):
            from scenarios import SCENARIOS
            from scenarios.command.help import run_help, scenario_help

            named = [word for word in args if word in SCENARIOS.entries]
            typer.echo(scenario_help(named[0]) if named else run_help())
            ctx.exit()
        following = [*args, "--"][1:]
        bare = [word == "--resume" and after.startswith("-") for word, after in zip(args, following, strict=True)]
        parsed: list[str] = super().parse_args(
            ctx, ["--resume=" if alone else word for word, alone in zip(args, bare, strict=True)]
        )
        return parsed


def _run_parameters() -> list[Parameter]:
    """Parameters of `run`: an option for each of `Options`, as text, which `read_options` reads."""
    options = [
        parameter(name, str | None, typer.Option(flag(name)))
        if about.form
        else parameter(name, bool, typer.Option(flag(name)), False)
        for name, about in ABOUT.items()
    ]
    return [
        parameter("scenario", str | None, typer.Argument(metavar="SCENARIO")),
        parameter("config", Path | None, typer.Option("--config")),
        parameter("as_json", bool, typer.Option("--json"), False),
        parameter("quiet", bool, typer.Option("--quiet"), False),
        *options,
    ]


@app.command(cls=RunCommand)
@taking(_run_parameters())
def run(scenario: str | None, config: Path | None, as_json: bool, quiet: bool, **given: Any) -> None:
    """Run a scenario: simulated clients train, and what each party saw is kept in a run folder."""
    from rich.console import Console

    from fedlearn.numerics import make_portable
    from scenarios import SCENARIOS
    from scenarios.command.console import log_to_terminal, standard_error
    from scenarios.command.interrupts import interruptible
    from scenarios.command.loading import loading
    from scenarios.command.rounds import ConsoleTracker

    scenario, values = _what_to_run(scenario, config, typed(given))
    if values.get("portable"):
        make_portable()  # before a scenario loads NumPy
    console = Console(file=standard_error())
    options = Options(**values, trackers=() if quiet else (ConsoleTracker(console),))
    with log_to_terminal(console, quiet), interruptible():
        with loading():
            story = SCENARIOS.load(scenario)
        outcome = story(options)
    report(scenario, outcome, as_json)


def _what_to_run(scenario: str | None, config: Path | None, texts: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """The scenario and its options: those that were typed, else those of --config, else those of the run to resume."""
    from scenarios.command.config import RUN_TOML, SCENARIO, check_no_code, read_config

    known: dict[str, str] = {}
    if "resume" in texts:
        resumed = texts["resume"] or texts.get("out")
        if not resumed:
            raise BadInput("--resume needs the folder of the run to go on with: give --resume DIR")
        out = texts.get("out", resumed)
        if at_home(out).absolute() != at_home(resumed).absolute():
            raise BadInput(f"--resume {resumed} goes on in its own folder, and --out is {out}: leave --out out")
        texts = texts | {"resume": "true", "out": resumed}
        toml = at_home(resumed) / RUN_TOML
        if not (toml.is_file() or toml.with_name("run.json").is_file()):
            raise BadInput(f"{resumed} holds no run to resume: give the folder of one")
        known = read_config(toml) if toml.is_file() else {}
        if scenario not in (None, known.get(SCENARIO, scenario)):
            raise BadInput(f"{resumed} is a run of {known[SCENARIO]}, not {scenario}: leave the scenario out")
        check_no_code(toml, known.keys() - texts.keys(), known)
    if config is not None:
        known |= read_config(config)
    scenario = scenario or known.get(SCENARIO)
    if scenario is None:
        raise BadInput("no scenario: give its name, as in fedlearn run spam; `fedlearn list scenario` names all")
    known.pop(SCENARIO, None)
    return scenario, read_options(known | texts)


def report(scenario: str, outcome: Outcome, as_json: bool) -> None:
    """The result for people on standard output, or as one JSON line for programs."""
    if as_json:
        typer.echo(json.dumps(outcome.to_dict(scenario)))
        return
    rows = [(name, f"{value:.4f}") for name, value in outcome.metrics.items()]
    claims = [claim for claim in outcome.claims if claim.name not in outcome.metrics and outcome.listed]
    rows += [(claim.name, f"{claim.value:.4g} {claim.unit}".rstrip()) for claim in claims]
    rows += [("run folder", str(outcome.run_dir))]
    width = max(24, *(len(name) for name, _ in rows))
    for name, value in rows:
        typer.echo(f"{name:>{width}}  {value}")
    typer.echo(outcome.story)


@app.command()
def describe(scenario: Annotated[str, typer.Argument(help="A name from `fedlearn list scenario`.")]) -> None:
    """Show what a scenario does, its options with its defaults, its models, and examples."""
    from scenarios.command.help import scenario_help

    typer.echo(scenario_help(scenario))


@app.command("list")
def list_names(
    kind: Annotated[str | None, typer.Argument(help="One kind of things only, as model or strategies.")] = None,
) -> None:
    """Everything that has a name: scenarios, models, data sets, partitions, protections..., a line each."""
    from scenarios.command.listing import lines

    for line, heading in lines(kind):
        typer.secho(line, bold=heading)


@app.command()
def attack(
    name: Annotated[str, typer.Argument(help="An attack from `fedlearn list attack`, or FILE.py:CLASS.")],
    run_folder: Annotated[Path, typer.Option("--run", help="Folder of a run made with --record.")],
    trusted: Annotated[
        list[str] | None,
        typer.Option("--trust", help="FILE.py or module of your own that the run's strategy or model comes from."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a curious aggregator read its own recorded transcript, and nothing else; the report tells what it found."""
    from fedlearn.attacks import ATTACKS
    from fedlearn.protocol import PartyView
    from fedlearn.registry import trust
    from scenarios.report.findings import keep

    for place in trusted or ():
        trust(place)
    findings = ATTACKS.parse(name).run(PartyView.load(run_folder))
    try:
        keep(run_folder, name, findings)
    except OSError as error:
        typer.echo(f"note: not kept for the report: {error.strerror}", err=True)
    if as_json:
        typer.echo(json.dumps([finding.to_dict() for finding in findings]))
        return
    for finding in findings:
        typer.echo("\n".join(map(shown, str(finding).split("\n"))))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="A benchmark from `fedlearn list benchmark`.")],
    as_json: Json = False,
    against: Annotated[
        Path | None, typer.Option(help="What an earlier run printed with --json: its figures are shown beside.")
    ] = None,
) -> None:
    """Measure here and now, beside floors and whichever other libraries are installed; takes minutes."""
    from scenarios import BENCHMARKS
    from scenarios.bench.against import compared, read

    run = BENCHMARKS.load(name)
    before = None if against is None else read(against, name)
    result = run(as_json)
    if before is not None:
        typer.echo(compared(result, before), err=as_json)


def _show_version(wanted: bool) -> None:
    if wanted:
        from fedlearn import __version__

        typer.echo(f"fedlearn {__version__}")
        raise typer.Exit


@app.callback()
def fedlearn(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Federated, privacy-preserving training you can run, measure and attack."""


def _app_for(words: list[str]) -> typer.Typer:
    """The app with the command that is named first; with all where none is, which takes as long as a run to set up."""
    own = {info.name or info.callback.__name__: info for info in app.registered_commands if info.callback}
    names = [word for word in words[:1] if word in (*own, *ELSEWHERE, *GROUPS)] or [*own, *ELSEWHERE, *GROUPS]
    found = copy(app)
    found.registered_commands, found.registered_groups = [], []
    for name in names:
        if name in own:
            found.registered_commands.append(own[name])
        elif name in ELSEWHERE:
            module, function = ELSEWHERE[name]
            found.command(name)(getattr(import_module(f"scenarios.command.{module}"), function))
        else:
            found.add_typer(import_module(f"scenarios.command.{name}").app, name=name)
    return found


def main(arguments: Iterable[str] | None = None) -> None:
    """Run the command, and end the process as `scenarios.command.ending` says."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    try:
        status = _app_for(words)(words, prog_name="fedlearn", standalone_mode=False) or 0
        flush_output()
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        failure.tell("--json" in words)
        status = failure.status
    sys.exit(status)


def run_module(scenario: str) -> None:
    """`python -m scenarios.NAME ...` is `fedlearn run NAME ...`."""
    main(["run", scenario, *sys.argv[1:]])


if __name__ == "__main__":
    main()
