"""Reading a file without saying what for: messages, numbers in classes, or a text, each as the scenarios read it."""

from __future__ import annotations

import re
from collections import Counter

from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.files import arrays, columnar, columns, labels, mail, mailboxes, messages_of, plays, tables
from fedlearn.datasets.files.opening import Source, opened
from fedlearn.datasets.files.reading import Reading
from fedlearn.datasets.text import Script
from fedlearn.errors import DataError

LOOKED_AT = 2**12  # bytes, or messages, to see whether they are numbers


def read_anything(path: str, how: Reading | None = None) -> Corpus | Samples | Script:
    """Read the content of `path`, of whichever kind it is; - is standard input.

    Raises `DataError` with what is wrong with the kind that it looks like most.
    """
    how = how or Reading()
    source = opened(path)
    if arrays.is_arrays(source):
        return arrays.samples_of(source, how)
    wrong: list[DataError] = []
    for read in (_messages, arrays.samples_of):
        try:
            return read(source, how)
        except DataError as error:
            wrong.append(error)
    text = _text(source, how)
    if text is None:
        of_messages, of_numbers = wrong
        raise of_numbers if isinstance(of_messages, _Numbers) or _looks_numeric(source) else of_messages
    return text


def _messages(source: Source, how: Reading) -> Corpus:
    corpus = messages_of(source, f"file {source.name}", how)
    texts = [text for text in corpus.texts[:LOOKED_AT] if text.strip()]
    if texts and all(arrays.number(text) is not None for text in texts):
        raise _Numbers(f"{source.name}: its texts are numbers: give messages")
    return corpus


class _Numbers(DataError):
    """The texts of what was read as messages are numbers."""


def _looks_numeric(source: Source) -> bool:
    """True where most of what stands between commas, after the first line, is numbers."""
    _, _, rows = source.data[:LOOKED_AT].decode("latin-1").partition("\n")
    fields = re.findall(r"[^,;|\t\r\n]+", rows)
    return sum(arrays.number(field) is not None for field in fields) > len(fields) / 2


def _text(source: Source, how: Reading) -> Script | None:
    """The file as a text: a play, or what is neither mail nor a table."""
    if how != Reading(encoding=how.encoding) or source.members is not None:
        return None
    if columnar.is_columnar(source.data) or mailboxes.is_mbox(source.data) or mail.is_mail(source.data):
        return None
    try:
        script = plays.script_of(source, how)
    except DataError:
        return None
    return script if len(script.by_speaker()) > 1 or not _is_table(script) else None


def _is_table(script: Script) -> bool:
    """True where it has rows below known names of columns, or rows of one width, which a text with commas has not.

    Few fields of a table begin with a blank; most of what follows a comma in a text does.
    """
    try:
        rows = tables.table_in(script.text, script.name).rows
    except DataError:
        return False
    names = {labels.plain(name) for name in rows[0]} if rows else set()
    if names & {*columns.LABELS} and names & {*columns.TEXTS}:
        return True
    width, number = Counter(map(len, rows)).most_common(1)[0]
    later = [field for row in rows for field in row[1:]]
    return (
        width > 1 and number >= tables.MOSTLY * len(rows) and sum(field[:1] == " " for field in later) < len(later) / 2
    )
