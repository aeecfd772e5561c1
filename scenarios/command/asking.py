"""`fedlearn predict`, `evaluate` and `generate`: asking a trained model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fedlearn.errors import BadInput

Run = Annotated[Path, typer.Option("--run", help="Folder of a finished run, or its model.safetensors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
SHOWN = 3  # words of an explanation


def predict(
    run: Run,
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, standard input has one a line.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A text a line, instead.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Which words spoke most for it.")] = False,
    as_json: Json = False,
) -> None:
    """What a trained filter says of texts: its class and how probable that is, a line a text."""
    from fedlearn.trained import load

    if texts and file is not None:
        raise BadInput(f"texts and --file {file}: give one of the two")
    trained = load(run)
    asked = list(texts) if texts else _lines(file)
    odds = trained.predict_proba(asked)
    lines = []
    for text, row in zip(asked, odds, strict=True):
        number = int(row.argmax())
        answer: dict[str, Any] = {"label": trained.classes[number], "probability": float(row[number]), "text": text}
        if explain:
            answer["words"] = _words(trained.explain(text), number)
        lines.append(json.dumps(answer, ensure_ascii=False) if as_json else _told(answer))
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def evaluate(
    run: Run,
    data: Annotated[str, typer.Option("--data", help="Labelled messages: a name, or files of your own.")],
    as_json: Json = False,
) -> None:
    """How good a trained filter is on labelled messages, and for each user where they are known."""
    import numpy as np

    from fedlearn.datasets import Reading, load_corpus
    from fedlearn.trained import load

    trained = load(run)
    own = () if trained.classes == ("ham", "spam") else trained.classes
    corpus = load_corpus(data, Reading(labels=own) if own else None)
    found: dict[str, Any] = {"messages": len(corpus), **trained.evaluate(corpus)}
    right = np.array(trained.predict(corpus.texts)) == np.array(corpus.classes)[corpus.labels]
    for user in sorted(set(corpus.users or ())):
        found[f"accuracy of {user}"] = float(right[np.array(corpus.users, object) == user].mean())
    if as_json:
        typer.echo(json.dumps(found))
        return
    width = max(map(len, found))
    for name, value in found.items():
        typer.echo(f"{name:>{width}}  {value:,}" if isinstance(value, int) else f"{name:>{width}}  {value:.4f}")


def generate(
    run: Run,
    prompt: Annotated[str, typer.Option("--prompt", help="What the text begins with.")] = "\n",
    length: Annotated[int, typer.Option(help="Characters.", min=1, max=10**6)] = 300,
    temperature: Annotated[float, typer.Option(help="Near 0 the likeliest, above 1 wild.")] = 0.7,
    seed: Annotated[int, typer.Option(help="Of the draws.", min=0)] = 0,
) -> None:
    """What a trained character model writes."""
    from fedlearn.trained import load

    typer.echo(prompt.lstrip("\n") + load(run).generate(prompt, length, temperature, seed))


def _lines(file: Path | None) -> list[str]:
    from fedlearn.datasets.files.encoding import decoded
    from fedlearn.datasets.files.opening import opened

    source = opened("-" if file is None else str(file))
    return decoded(source.data, None, source.name)[0].replace("\r\n", "\n").removesuffix("\n").split("\n")


def _words(explained: list[tuple[str, float]], number: int) -> list[str]:
    """The words that spoke most for the class; of the last class, those with the largest share."""
    ordered = explained if number else explained[::-1]
    return [word for word, share in ordered[:SHOWN] if (share > 0) == bool(number)]


def _told(answer: dict[str, Any]) -> str:
    words = f"\t({', '.join(answer['words'])})" if answer.get("words") else ""
    return f"{answer['label']}\t{answer['probability']:.3f}\t{' '.join(answer['text'].split())}{words}"
