"""Writing messages as a table that is read back as it was."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fedlearn.datasets.corpus import Corpus
from fedlearn.disk import write_atomic
from fedlearn.errors import BadInput


def write_table(corpus: Corpus, target: Path) -> None:
    """A tab-separated file in UTF-8 with the columns label, text and, where users are known, user.

    White space inside of a text, line ends and tabs among it, becomes single spaces. Raises `BadInput` if there is such
    a file already or it cannot be written; then nothing of it stays.
    """
    if target.exists():
        raise BadInput(f"{target} exists: choose another name, or take it away")
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    users = corpus.users or ()
    labels = [corpus.classes[label] for label in corpus.labels.tolist()]
    writer.writerow(["label", "text", *(["user"] if users else [])])
    for fields in zip(labels, corpus.texts, *([users] if users else []), strict=True):
        writer.writerow([" ".join(field.split()) for field in fields])
    try:
        write_atomic(target, out.getvalue().encode("utf-8", "replace"))
    except OSError as error:
        raise BadInput(f"cannot write {target} ({error.strerror}): choose another place") from None
