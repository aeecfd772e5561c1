"""`fedlearn predict`, `evaluate` and `generate`: asking a trained model."""

from __future__ import annotations

import json
import re
import sys
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlearn.disk import strict_json
from fedlearn.errors import BadInput
from fedlearn.wording import many
from scenarios.command.ending import as_typed, shown
from scenarios.command.files import OF_TEXTS, reads_a_file, reads_texts

if TYPE_CHECKING:
    import numpy as np

    from fedlearn.datasets import Reading
    from fedlearn.trained import Trained

Run = Annotated[Path, typer.Option("--run", help="Folder of a finished run, or a model in one file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Trust = Annotated[
    list[str] | None, typer.Option("--trust", help="FILE.py or module of your own that the run's model comes from.")
]
SHOWN = 3  # words of an explanation


@reads_texts
def predict(
    run: Run,
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, standard input has one a line.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A text a line, a table, or mail: a message, mbox, folder."),
    ] = None,
    *,
    how: Reading,
    explain: Annotated[bool, typer.Option("--explain", help="Which words spoke most for it.")] = False,
    trusted: Trust = None,
    as_json: Json = False,
) -> None:
    """Ask a trained model about texts, or rows of numbers: the class and how probable it is, a line each."""
    if texts and file is not None:
        raise BadInput(f"texts and --file {file}: give one of the two")
    from fedlearn.models.kinds import Features

    trained = loaded(run, trusted)
    numbers = trained.model.reads is Features
    if texts or numbers:
        how.refuse(OF_TEXTS, "numbers" if numbers else "typed texts")
    if any(not text.strip() for text in texts or ()):
        raise BadInput("a text is empty: give one with words in it")
    asked = [_text(text) for text in texts] if texts else _texts_in(file, None if numbers else how)
    odds = trained.predict_proba(_rows(asked) if numbers else asked)
    labels = [trained.classes[number] for number in odds.argmax(axis=1).tolist()]
    words = trained.explain_all(asked, labels) if explain else repeat(None)
    lines = []
    for text, label, odd, added in zip(asked, labels, odds.max(axis=1).tolist(), words, strict=False):
        answer: dict[str, Any] = {"label": label, "probability": odd, "text": text}
        if added is not None:
            answer["words"] = [word for word, share in added[:SHOWN] if share > 0]
        lines.append(json.dumps(answer, ensure_ascii=False) if as_json else _told(answer))
    sys.stdout.write("".join(f"{line}\n" for line in lines))


@reads_a_file
def evaluate(
    run: Run,
    data: Annotated[
        str, typer.Option("--data", help="What to measure it on: a data set by name, or files of your own.")
    ],
    how: Reading,
    trusted: Trust = None,
    as_json: Json = False,
) -> None:
    """How good a trained model is on labelled data: what it takes for what, and for whom, where users are known."""
    from scenarios.command.evaluation import data_for, notes, tables

    trained = loaded(run, trusted)
    measured_on = data_for(trained, data, how)
    for note in notes(run, measured_on):
        typer.echo(f"note: {note}", err=True)
    found = trained.evaluate(measured_on)
    typer.echo(strict_json(found) if as_json else "\n".join(tables(found)))


def generate(
    run: Run,
    prompt: Annotated[str, typer.Option("--prompt", help="What the text begins with.")] = "\n",
    length: Annotated[int, typer.Option(help="Characters.", min=1, max=10**6)] = 300,
    temperature: Annotated[float, typer.Option(help="Near 0 the likeliest, above 1 wild.")] = 0.7,
    seed: Annotated[int, typer.Option(help="Of the draws.", min=0)] = 0,
    trusted: Trust = None,
) -> None:
    """Write with a trained character model."""
    typer.echo(prompt.lstrip("\n") + loaded(run, trusted).generate(prompt, length, temperature, seed))


def loaded(run: Path, trusted: list[str] | None) -> Trained:
    """The model of a run; trusted: modules and files that its class may stand in."""
    from fedlearn.registry import trust
    from fedlearn.trained import load

    for place in trusted or ():
        trust(place)
    return load(run)


def _texts_in(file: Path | None, how: Reading | None) -> list[str]:
    """The texts of a file, or of standard input; what was guessed or left out is told. how: None of rows of numbers."""
    from fedlearn.datasets.files import texts_of
    from fedlearn.datasets.files.opening import opened
    from fedlearn.datasets.files.reading import STANDARD_INPUT

    source = opened(STANDARD_INPUT if file is None else str(file))
    found = texts_of(source, how)
    for note in found.notes:
        typer.echo(f"note: {source.name}: {as_typed(note)}", err=True)
    return list(found.texts)


def _text(argument: str) -> str:
    """The text that was typed; bytes of it that are no text become U+FFFD."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _rows(lines: list[str]) -> np.ndarray:
    """Numbers, with commas, semicolons or blanks between them; float64 (n, d)."""
    import numpy as np

    rows = [[number for number in re.split(r"[,;\s]+", line.strip()) if number] for line in lines]
    odd = next((row for row in rows if len(row) != len(rows[0])), None)
    if odd is not None:
        raise BadInput(f"a row of {many(len(odd), 'number')}, the first one has {len(rows[0])}: give each as many")
    try:
        return np.array([[float(number) for number in row] for row in rows])
    except ValueError as error:
        raise BadInput(f"{error}: give rows of numbers, as 5.1,3.5,1.4,0.2") from None


def _told(answer: dict[str, Any]) -> str:
    """An answer in one line; of a text of many lines, as mail is, the first: its subject."""
    words = f"\t({', '.join(answer['words'])})" if answer.get("words") else ""
    first = answer["text"].strip().partition("\n")[0]
    return f"{shown(answer['label'])}\t{answer['probability']:.3f}\t{shown(' '.join(first.split()))}{words}"
