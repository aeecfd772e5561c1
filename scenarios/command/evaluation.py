"""Measuring a trained model on data: how these are read, and the tables that show what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlearn.datasets import Corpus, Reading, load_corpus, load_samples, load_script
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.text import Script
from fedlearn.models.kinds import Characters, Features
from fedlearn.trained import Trained
from fedlearn.untrusted import content, from_json
from fedlearn.wording import many
from scenarios.command.ending import as_typed, shown
from scenarios.command.reading import as_trained

USERS = 20  # users shown, each with a line


def data_for(trained: Trained, data: str, how: Reading) -> Corpus | Samples | Script:
    """The data of this name or path, of the kind that the model reads, with its classes in their order."""
    if trained.model.reads is Characters:
        return load_script(data, how)
    how = as_trained(how, data, trained.classes)
    return load_samples(data, how) if trained.model.reads is Features else load_corpus(data, how)


def notes(run: Path, data: Corpus | Samples | Script) -> Iterator[str]:
    """Notes on what was guessed or left out as the data were read, and on data that the model was trained on."""
    yield from (f"{data.name}: {as_typed(note)}" for note in data.notes)
    try:
        trained_on = from_json(content(run / "run.json"))["data_set"]["sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        return
    if trained_on == data.sha256:
        yield f"the model was trained on a part of {data.name}: new data would say more"


def tables(found: Mapping[str, Any]) -> Iterator[str]:
    """The figures, what was taken for what, and a line for each user; in lines."""
    figures = {name: value for name, value in found.items() if not isinstance(value, dict)}
    yield from _table([[name, _shown(value)] for name, value in figures.items()])
    if "confusion" in found:
        yield ""
        yield from _table([["", *(f"taken for {name}" for name in found["confusion"])]] + [
            [name, *map(_shown, row.values())] for name, row in found["confusion"].items()
        ])  # fmt: skip
    if "users" in found:
        yield ""
        heads = [name for name in figures if name != "loss"]
        users = list(found["users"].items())
        if len(users) > USERS:
            users = sorted(users, key=lambda pair: pair[1]["accuracy"])[:USERS]
        yield from _table([["user", *heads], *([user, *(_shown(of[name]) for name in heads)] for user, of in users)])
        if len(found["users"]) > USERS:
            yield f"and {many(len(found['users']) - USERS, 'user')} with no lower accuracy; --json has all"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Cells in columns, each as wide as its widest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield shown("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
