"""Labelled messages, and texts without labels, out of files of any form."""

from __future__ import annotations

import numpy as np

from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.files import columnar, columns, labels, mail, mailboxes, records, tables
from fedlearn.datasets.files.encoding import decoded, encoding_notes, unix_lines
from fedlearn.datasets.files.opening import Source, opened
from fedlearn.datasets.files.reading import Found, Reading
from fedlearn.datasets.files.rows import content_of, rows_of, table_of
from fedlearn.errors import DataError
from fedlearn.wording import many


def read_messages(path: str, how: Reading | None = None) -> Corpus:
    """The labelled messages at `path`, whatever form they have; - is standard input.

    CSV and its relatives, JSON, Parquet, Arrow, mbox, Maildir, folders of mail, each packed or in an archive. Raises
    `DataError` in one line for what cannot be read, is not clear, or is not labelled.
    """
    source = opened(path)
    return messages_of(source, f"file {source.name}", how)


def read_texts(path: str, how: Reading | None = None) -> list[str]:
    """The texts at `path` without labels: of mail, mbox and folders of messages each message, else a text a line.

    how: where it is given, the column of texts of a table is read as training reads it. A table is a file whose name
    ends in one of `tables.ENDINGS`, Parquet, Arrow, or any file beside a `text_column`. - is standard input. Lines end
    at line feeds or carriage returns. Raises `DataError` for what holds no text.
    """
    return list(texts_of(opened(path), how).texts)


def texts_of(source: Source, how: Reading | None = None) -> Found:
    """Same as `read_texts`, for a source that is open already, with notes on what was guessed or left out."""
    name = source.name
    if source.members is not None or mailboxes.is_mbox(source.data) or mail.is_mail(source.data):
        members = [(name.rpartition("/")[2], source.data)] if source.members is None else source.members
        return mailboxes.texts_in(members, name, how or Reading())
    if how is not None and _is_table(source, how):
        return _texts_in(source, how)
    named = how.encoding if how else None
    text, encoding = decoded(source.data, named, name)
    lines = unix_lines(text).split("\n")
    return Found(texts=lines if lines[-1] else lines[:-1], notes=encoding_notes(encoding, named))


def _is_table(source: Source, how: Reading) -> bool:
    named = tables.ends_as(source.name, tables.ENDINGS)
    return named or how.text_column is not None or columnar.is_columnar(source.data)


def _texts_in(source: Source, how: Reading) -> Found:
    """The texts of a table; raises `DataError` with the columns to choose from where their column is not clear."""
    begun = Found()
    table = rows_of(source, how, begun)
    if not table.rows:
        return begun
    found = columns.texts_in(table, source.name, how)
    found.bad |= begun.bad
    found.notes += begun.notes
    found.settle(source.name, how)
    return found


def messages_of(source: Source, origin: str, how: Reading | None = None) -> Corpus:
    """Same as `read_messages`, for a source that is open already. origin: where the data are from."""
    how = how or Reading()
    found, classes = labels.numbered(_found(source, how), source.name, how)
    found.settle(source.name, how)
    if len(np.unique(classes)) < 2:
        raise _one_label(found, classes, source.name, how)
    users = None if found.users is None else tuple(found.users)
    return Corpus(
        source.name, tuple(found.texts), classes, users, False, source.sha256, origin,
        classes=how.labels or ("ham", "spam"), notes=tuple(found.notes),
    )  # fmt: skip


def _found(source: Source, how: Reading) -> Found:
    name = source.name
    if source.members is not None:
        return mailboxes.messages_in(source.members, name, how)
    if mailboxes.is_mbox(source.data) or mail.is_mail(source.data):
        return mailboxes.messages_in([(name.rpartition("/")[2], source.data)], name, how)
    begun = Found()
    content = content_of(source, how, begun)
    if records.is_leaf(content):
        how.refuse(("text_column", "label_column", "user_column"), f"{name}, which is in LEAF's form")
        found = records.leaf_messages(content, name)
    else:
        found = columns.messages_in(table_of(content, name, begun), name, how)
    found.bad |= begun.bad
    found.notes += begun.notes
    return found


def _one_label(found: Found, classes: np.ndarray, name: str, how: Reading) -> DataError:
    if not len(classes):
        return DataError(f"{name}: no message could be read: give one message a line, as label TAB text")
    if how.labels:
        return DataError(
            f"{name}: {many(len(classes), 'message')}, all labelled {how.labels[classes[0]]!r}: add others"
        )
    missing = "spam" if classes[0] == 0 else "ham"
    return DataError(f"{name}: {many(len(classes), 'message')}, all with one label: add messages labelled {missing}")
