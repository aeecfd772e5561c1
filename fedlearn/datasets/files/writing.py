"""Writing data as a file that is read back as it was: messages and numbers as a table, a text as a text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.text import Script
from fedlearn.disk import write_atomic
from fedlearn.errors import BadInput
from fedlearn.wording import many

TABLES = (".tsv", ".csv", ".tab")


def write(data: Any, target: Path) -> str:
    """A file in UTF-8; what was written, in a few words.

    Of messages a tab-separated table with the columns label, text and, where users are known, user; white space inside
    of a text, line ends and tabs among it, becomes single spaces. Of numbers one with x1, x2, ..., class and user. Of a
    text the text. Raises `BadInput` if there is such a file already, it cannot be written, or the data are of another
    kind; then nothing of it stays.
    """
    if target.exists():
        raise BadInput(f"{target} exists: choose another name, or take it away")
    if isinstance(data, Script) and target.suffix.lower() in TABLES:
        raise BadInput(f"{data.name} is a text, and {target} the name of a table: choose one that ends in .txt")
    content, kind = _content(data)
    try:
        write_atomic(target, content.encode("utf-8", "replace"))
    except OSError as error:
        raise BadInput(f"cannot write {target} ({error.strerror}): choose another place") from None
    return many(len(data), kind)


@singledispatch
def _content(data: Any) -> tuple[str, str]:
    """The text of the file, and the word for one of the things in it."""
    raise BadInput(f"a {type(data).__name__} is neither messages, numbers nor a text: these can be written")


@_content.register
def _(corpus: Corpus) -> tuple[str, str]:
    labels = (corpus.classes[label] for label in corpus.labels.tolist())
    texts = (" ".join(text.split()) for text in corpus.texts)
    return _table(["label", "text"], zip(labels, texts, strict=True), corpus.users), "message"


@_content.register
def _(samples: Samples) -> tuple[str, str]:
    names, width = samples.class_names, samples.features.shape[1]
    rows = (
        (*map(str, row), names[label])  # of float32 the shortest digits that mean it
        for row, label in zip(samples.features, samples.labels.tolist(), strict=True)
    )
    return _table([*(f"x{i}" for i in range(1, width + 1)), "class"], rows, samples.users), "row"


@_content.register
def _(script: Script) -> tuple[str, str]:
    return script.text, "character"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], users: Sequence[str] | None) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    writer.writerow([*header, *(["user"] if users else [])])
    for i, row in enumerate(rows):
        writer.writerow([*row, " ".join(users[i].split())] if users else row)
    return out.getvalue()
