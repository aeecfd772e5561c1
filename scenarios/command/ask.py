"""`fedlearn ask QUERY`: a question to many clients, of which only the sum of their answers is opened."""

from __future__ import annotations

import json
from collections.abc import Iterable
from inspect import Parameter
from typing import TYPE_CHECKING, Any

import typer

from fedlearn.errors import BadInput
from fedlearn.wording import many
from scenarios.command.about import flag
from scenarios.command.commands import parameter, taking
from scenarios.command.ending import shown
from scenarios.command.options import ABOUT, DEFAULTS
from scenarios.command.texts import read_options, typed

if TYPE_CHECKING:
    from scenarios.inquiry import Asked

TAKES = (
    "data", "clients", "cohort", "sampler", "from_", "partition", "text_column", "label_column", "user_column",
    "spam_label", "labels", "encoding", "skip_bad", "vocabulary", "protection", "key_bits", "keys", "passphrase_file",
    "pki", "min_cohort", "codec", "dp", "dp_seed", "insecure_test_key", "pool", "workers", "deadline", "ray_address",
    "transcript", "seed", "out", "record",
)  # fmt: skip
OWN = {"data": "sample", "protection": "paillier", "vocabulary": "hashed"}  # defaults
QUERY = "A query from `fedlearn list query`, as histogram:low=0,high=500, or FILE.py:CLASS."


def _parameters() -> list[Parameter]:
    """Parameters of `ask`: an option for each of `TAKES`, as text, which `read_options` reads."""

    def option(name: str) -> Parameter:
        about, usual = ABOUT[name], OWN.get(name, DEFAULTS[name])
        told = f"{about.help} [default: {usual}]" if usual not in (None, False, "") else about.help
        info = typer.Option(flag(name), help=told, metavar=about.form or None)
        return parameter(name, str | None, info) if about.form else parameter(name, bool, info, False)

    return [
        parameter("query", str, typer.Argument(metavar="QUERY", help=QUERY), Parameter.empty),
        *map(option, TAKES),
        parameter(
            "resume", str | None, typer.Option("--resume", metavar="DIR", help="Go on with the question in DIR.")
        ),
        parameter("as_json", bool, typer.Option("--json", help="One JSON object as the last line."), False),
        parameter("quiet", bool, typer.Option("--quiet", help="No warnings."), False),
    ]


@taking(_parameters())
def ask(query: str, resume: str | None, as_json: bool, quiet: bool, **given: Any) -> None:
    """Ask clients a question: what each counts on its own data is added up unread, and only the sum is opened.

    `fedlearn list query` names the questions; docs/sums.md says what each answer gives away. Of messages, histogram,
    mean and quantiles are of their length: column 0 in characters, 1 in different words. Of numbers, columns count
    from 0.
    """
    from rich.console import Console

    from scenarios.command.console import log_to_terminal, standard_error
    from scenarios.command.interrupts import interruptible
    from scenarios.command.options import Options
    from scenarios.inquiry import asked

    texts = typed(given)
    if resume is not None:
        if "out" in texts:
            raise BadInput(f"--resume {resume} and --out {texts['out']}: give one of the two")
        texts |= {"resume": "true", "out": resume}
    options = Options(**read_options(texts)).filled(**OWN)
    with log_to_terminal(Console(file=standard_error()), quiet), interruptible():
        found = asked(query, options)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    for line in lines(found):
        typer.echo(shown(line))
    if note := found.answer.query.note(found.answer.values):
        typer.echo(f"note: {note}", err=True)


def lines(found: Asked) -> list[str]:
    """The answer for people, and what it cost."""
    plain = found.to_dict()
    rows = [(name, _words(value)) for name, value in plain["answer"].items()]
    rows += [("clients", f"{plain['clients']:,} in the sum, in {many(plain['rounds'], 'round')}")]
    rows += [("bytes of a client", f"{found.bytes_of_a_client:,.0f} up")]
    rows += [("epsilon", f"{plain['epsilon']:.3g}")] if plain["epsilon"] is not None else []
    rows += [("run folder", plain["run_dir"])]
    width = max(24, *(len(name) for name, _ in rows))
    return [f"{name:>{width}}  {text}" for name, text in rows]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return _between(value.values()).join(f"{name} {_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return _between(value).join(map(_words, value)) or "-"
    if value is None:
        return "not known"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _between(values: Iterable[Any]) -> str:
    """The mark between values: one that stands out where each is several."""
    return "; " if any(isinstance(each, list | dict) for each in values) else ", "
