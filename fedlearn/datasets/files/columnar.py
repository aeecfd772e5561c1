"""Parquet and Arrow: files in columns, as other programs write them (extra parquet)."""

from __future__ import annotations

from io import BytesIO
from types import ModuleType
from typing import Any

from fedlearn.datasets.files.opening import LARGEST
from fedlearn.datasets.files.records import as_field
from fedlearn.datasets.files.tables import Table
from fedlearn.errors import DataError

PARQUET, FEATHER, STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"  # how files begin: Parquet, Arrow's file and stream


def is_columnar(data: bytes) -> bool:
    """True where bytes begin as Parquet or Arrow do."""
    return data.startswith((PARQUET, FEATHER, STREAM))


def table_in(data: bytes, name: str) -> Table:
    """The columns of a file; the parts of a structure are columns of their own, as `meta.user`.

    Raises `DataError` for a damaged file, one that is too large, and where pyarrow is not installed.
    """
    arrow = _arrow(name)
    try:
        columns = _parquet(data, name) if data.startswith(PARQUET) else _batches(arrow, data, name)
        while any(arrow.types.is_struct(column.type) for column in columns.itercolumns()):
            columns = columns.flatten()
        values = [column.to_pylist() for column in columns.itercolumns()]
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{name} is damaged or cut off ({str(error)[:80]}): get it once more") from None
    rows = [list(map(as_field, row)) for row in zip(*values, strict=True)]
    return Table(rows, range(1, len(rows) + 1), list(columns.column_names), "row")


def _arrow(name: str) -> ModuleType:
    try:
        import pyarrow
    except ImportError:
        raise DataError(f"{name} is Parquet or Arrow, which needs pyarrow: pip install 'fedlearn[parquet]'") from None
    found: ModuleType = pyarrow
    return found


def _parquet(data: bytes, name: str) -> Any:
    from pyarrow import parquet

    file = parquet.ParquetFile(BytesIO(data))
    _check_size(sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups)), name)
    return file.read()


def _batches(arrow: ModuleType, data: bytes, name: str) -> Any:
    """The table of Arrow's file format, which Feather has too, or of its stream."""
    from pyarrow import ipc

    reader = ipc.open_file(data) if data.startswith(FEATHER) else ipc.open_stream(data)
    found, size = [], 0
    for batch in _each(reader):
        size += batch.nbytes
        _check_size(size, name)
        found.append(batch)
    return arrow.Table.from_batches(found, reader.schema)


def _each(reader: Any) -> Any:
    number = getattr(reader, "num_record_batches", None)
    return reader if number is None else map(reader.get_batch, range(number))


def _check_size(size: int, name: str) -> None:
    if size > LARGEST:
        raise DataError(f"{name} gives {size / 2**20:,.0f} MiB: the limit is {LARGEST // 2**20:,} MiB, give a part")
