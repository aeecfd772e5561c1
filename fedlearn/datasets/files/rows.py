"""The rows of a file that holds a table, whichever form the table has."""

from __future__ import annotations

from typing import Any

from fedlearn.datasets.files import columnar, records, tables
from fedlearn.datasets.files.encoding import decoded, encoding_notes
from fedlearn.datasets.files.opening import Source
from fedlearn.datasets.files.reading import Found, Reading
from fedlearn.datasets.files.tables import Table


def content_of(source: Source, how: Reading, found: Found) -> Any:
    """A `Table` of CSV and its relatives, Parquet or Arrow; of JSON the value. What was guessed goes into `found`.

    Raises `DataError` for what cannot be read.
    """
    if columnar.is_columnar(source.data):
        return columnar.table_in(source.data, source.name)
    text, encoding = decoded(source.data, how.encoding, source.name)
    found.notes += encoding_notes(encoding, how.encoding)
    return records.json_in(text, source.name) if records.is_json(text) else tables.table_in(text, source.name)


def table_of(content: Any, name: str, found: Found) -> Table:
    """The rows of what `content_of` gave; what is wrong with some goes into `found`. `DataError` for no table."""
    return content if isinstance(content, Table) else records.table_of(content, name, found)


def rows_of(source: Source, how: Reading, found: Found) -> Table:
    """The rows of a file in any of these forms; `found` and errors as in both of these."""
    return table_of(content_of(source, how, found), source.name, found)
