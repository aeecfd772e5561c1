"""The rows of a file that holds a table, whichever form the table has."""

from __future__ import annotations

from fedlearn.datasets.files import columnar, records, tables
from fedlearn.datasets.files.encoding import decoded, encoding_notes
from fedlearn.datasets.files.opening import Source
from fedlearn.datasets.files.reading import Found, Reading
from fedlearn.datasets.files.tables import Table


def rows_of(source: Source, how: Reading, found: Found) -> Table:
    """The rows of CSV and its relatives, JSON, Parquet or Arrow.

    What is wrong with some of them, and what was guessed, goes into `found`. Raises `DataError` for no table.
    """
    if columnar.is_columnar(source.data):
        return columnar.table_in(source.data, source.name)
    text, encoding = decoded(source.data, how.encoding, source.name)
    found.notes += encoding_notes(encoding, how.encoding)
    if records.is_json(text):
        return records.table_of(records.json_in(text, source.name), source.name, found)
    return tables.table_in(text, source.name)
