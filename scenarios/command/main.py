"""The `fedlearn` command. Exit status: 0 done, 2 bad input, 1 failed, 130 interrupted.

Results go to standard output, the rest to standard error.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlearn.errors import BadInput, FedlearnError
from scenarios.command.data import app as data_app
from scenarios.command.keys import app as keys_app
from scenarios.command.privacy import privacy

if TYPE_CHECKING:
    from scenarios.command.options import Outcome

app = typer.Typer(
    help="Federated, privacy-preserving training you can run, measure and attack.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
app.add_typer(keys_app, name="keys")
app.command()(privacy)

WHO, LEARN, PROTECT, RUN = "Who takes part", "How they learn", "What hides updates", "How it runs"


def option(text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A name from `fedlearn list`.")],
    data: Annotated[str | None, option("Data set by name, or a file of your own.", WHO)] = None,
    clients: Annotated[int | None, option("Number of clients.", WHO)] = None,
    examples_per_client: Annotated[int | None, option("Of digits: examples drawn for each client.", WHO)] = None,
    cohort: Annotated[int | None, option("Clients sampled a round.", WHO)] = None,
    sampler: Annotated[
        str, option("uniform | poisson | weighted[:FILE] | availability:FILE | availability:diurnal=ROUNDS.", WHO)
    ] = "uniform",
    partition: Annotated[str | None, option("iid | dirichlet:ALPHA | shards:N | natural.", WHO)] = None,
    malicious: Annotated[
        str | None, option("BEHAVIOUR:SHARE[,key=value], as sign-flip:0.2 or backdoor:3,word=pear,scale=1.", WHO)
    ] = None,
    model: Annotated[str | None, option("Model by name.", LEARN)] = None,
    dim: Annotated[int | None, option("Width of an embedding or a hidden layer.", LEARN)] = None,
    vocabulary: Annotated[str | None, option("hashed:BUCKETS | explicit:FILE.", LEARN)] = None,
    rounds: Annotated[int | None, option("Rounds of training.", LEARN)] = None,
    epochs: Annotated[int | None, option("Local epochs a round.", LEARN)] = None,
    batch_size: Annotated[int | None, option("Examples in a local batch.", LEARN)] = None,
    lr: Annotated[float | None, option("Local learning rate.", LEARN)] = None,
    strategy: Annotated[str, option("Federated algorithm, as fedavg or fedprox:mu=0.1.", LEARN)] = "fedavg",
    protection: Annotated[str | None, option("none | paillier | threshold:T/N | masks[:K].", PROTECT)] = None,
    key_bits: Annotated[int, option("Size of the Paillier modulus, at least 2048.", PROTECT)] = 3072,
    min_cohort: Annotated[int, option("The fewest updates in a sum that is opened.", PROTECT)] = 3,
    max_overlap: Annotated[
        int | None, option("The most clients that two opened sums may share (default: no limit).", PROTECT)
    ] = None,
    codec: Annotated[str, option("bits=B,bound=X,addends=N,overflow=refuse|clip.", PROTECT)] = "",
    insecure_test_key: Annotated[
        bool, option("Allow a key under 2048 bits: protects nothing.", PROTECT, "--insecure-test-key")
    ] = False,
    faults: Annotated[
        str,
        option(
            "none | dropout=P, crash=P, straggle=P:DIST, time=DIST, deadline=S, over_select=X, joined by commas.", RUN
        ),
    ] = "none",
    network: Annotated[
        str | None, option("Of costs: NAME, up=RATE, down=RATE, latency=TIME, slower=DIST, joined by commas.", RUN)
    ] = None,
    pool: Annotated[str, option("inline | processes | ray.", RUN)] = "inline",
    workers: Annotated[int, option("Processes of the pool, unless it is inline.", RUN)] = 2,
    ray_address: Annotated[
        str | None, option("HOST:PORT of a Ray cluster's head (default: a Ray of its own, here).", RUN)
    ] = None,
    stack: Annotated[str, option("auto | on | off: train clients side by side; the bits are the same.", RUN)] = "auto",
    kernels: Annotated[
        str, option("numpy | numba | measure: of recurrent layers; other kernels, other last bits.", RUN)
    ] = "numpy",
    transcript: Annotated[str, option("full (hashes) | digest (sizes only).", RUN)] = "full",
    seed: Annotated[int, option("Of every reproducible choice; keys never come from it.", RUN)] = 0,
    out: Annotated[Path | None, option("Run folder (default: a new one under runs/).", RUN)] = None,
    record: Annotated[bool, option("Keep every message's payload for attacks.", RUN, "--record")] = False,
    resume: Annotated[bool, option("Go on with the run in --out from its last checkpoint.", RUN, "--resume")] = False,
    as_json: Annotated[bool, option("One JSON object as the last line of output.", RUN, "--json")] = False,
    quiet: Annotated[bool, option("No bar, no table, no warnings.", RUN, "--quiet")] = False,
) -> None:
    """Run a scenario: simulated clients train, and what each party saw is kept in a run folder.

    What is left out is as the scenario has it; an option that has no effect in it is refused.
    """
    given = dict(locals())
    from rich.console import Console

    from scenarios import SCENARIOS
    from scenarios.command.console import ConsoleTracker, log_to_terminal
    from scenarios.command.interrupts import interruptible
    from scenarios.command.options import Options

    console = Console(stderr=True)
    log_to_terminal(console, quiet)
    values = {f.name: given[f.name] for f in fields(Options) if f.name in given}
    options = Options(**values, trackers=() if quiet else (ConsoleTracker(console),))
    with interruptible():
        outcome = SCENARIOS.load(scenario)(options)
    report(scenario, outcome, as_json)


def report(scenario: str, outcome: Outcome, as_json: bool) -> None:
    """The result for people on standard output, or as one JSON line for programs."""
    if as_json:
        from fedlearn.disk import strict_json

        typer.echo(strict_json(outcome.to_dict(scenario)))
        return
    rows = [(name, f"{value:.4f}") for name, value in outcome.metrics.items()]
    claims = [claim for claim in outcome.claims if claim.name not in outcome.metrics]
    rows += [(claim.name, f"{claim.value:.4g} {claim.unit}".rstrip()) for claim in claims]
    rows += [("run folder", str(outcome.run_dir))]
    width = max(24, *(len(name) for name, _ in rows))
    for name, value in rows:
        typer.echo(f"{name:>{width}}  {value}")
    typer.echo(outcome.story)


@app.command("list")
def list_names() -> None:
    """Everything that has a name: scenarios, models, data sets, partitions, protections..., a line each."""
    from aggregator.costs import NETWORKS
    from aggregator.sampling import SAMPLERS
    from clients import POOLS
    from clients.behaviours import BEHAVIOURS
    from fedlearn.attacks import ATTACKS
    from fedlearn.datasets import DATASETS, PARTITIONS, VOCABULARIES
    from fedlearn.models import MODELS
    from fedlearn.privacy import ACCOUNTANTS
    from fedlearn.secure import PROTECTIONS
    from fedlearn.strategies import STRATEGIES
    from scenarios import BENCHMARKS, SCENARIOS

    kinds = (SCENARIOS, BENCHMARKS, MODELS, DATASETS, VOCABULARIES, PARTITIONS, STRATEGIES, PROTECTIONS, POOLS)
    for registry in (*kinds, SAMPLERS, NETWORKS, BEHAVIOURS, ATTACKS, ACCOUNTANTS):
        typer.secho(registry.kind, bold=True)
        for name, entry in registry.entries.items():
            typer.echo(f"  {name:<19} {entry.summary}")


@app.command()
def attack(
    name: Annotated[str, typer.Argument(help="An attack from `fedlearn list`.")],
    run_folder: Annotated[Path, typer.Option("--run", help="Folder of a run made with --record.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line of output.")] = False,
) -> None:
    """Let a curious aggregator read its own recorded transcript, and nothing else."""
    from fedlearn.attacks import ATTACKS
    from fedlearn.protocol import PartyView

    findings = ATTACKS.load(name)().run(PartyView.load(run_folder))
    if as_json:
        typer.echo(json.dumps([finding.to_dict() for finding in findings]))
        return
    for finding in findings:
        typer.echo(str(finding))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="A benchmark from `fedlearn list`.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line of output.")] = False,
) -> None:
    """Measure here and now, beside whichever other libraries are installed; takes minutes."""
    from scenarios import BENCHMARKS

    BENCHMARKS.load(name)(as_json)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; a `BadInput` is one line and exit status 2, any other failure of ours exit status 1."""
    try:
        app(arguments)
    except FedlearnError as error:
        print(f"fedlearn: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, BadInput) else 1)


def run_module(scenario: str) -> None:
    """`python -m scenarios.NAME ...` is `fedlearn run NAME ...`."""
    main(["run", scenario, *sys.argv[1:]])


if __name__ == "__main__":
    main()
