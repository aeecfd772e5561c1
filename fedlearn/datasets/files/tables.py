"""From a text to rows of fields: CSV in any dialect, and tab-separated lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import PurePath

from fedlearn.errors import DataError

DELIMITERS = ",;|"
SAMPLE, SAMPLE_ROWS = 2**16, 60  # characters and rows that a delimiter is guessed from
LAST = "\x1a"  # a line that shows whether all quotes before it are closed
LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
MOST_COLUMNS = 16_384  # as many as a spreadsheet has
EXCELS = re.compile(r"sep=([^\r\n])\r?\n", re.IGNORECASE)  # a first line by which Excel is told the delimiter
ENDINGS = {".csv", ".tsv", ".json", ".jsonl", ".ndjson"}  # of names of tables that are texts
TABBED = 0.6  # the fraction of lines with a tab, above which the lines are tab-separated
MOSTLY = 0.9  # the fraction of rows of one width, if it is a table at all
# A line that begins with its label: `ham see you`, `spam: buy`, and fastText's `__label__sport the match`.
LABELLED = re.compile(r"[ \t]*(?:__label__(\S+)|(ham|spam)(?=[\s:,;|]))[ \t]*[:,;|]?[ \t]*(.*)", re.IGNORECASE)


class Nested(str):
    """A list, an object or bytes in the place of a field, as a person may read it."""


@dataclass(frozen=True)
class Table:
    """Rows of fields, and the line on which each begins. header: names of the columns where they are known by now.

    unit: what `lines` count. plain: tab-separated lines, in which quotes mean nothing, so that a text may hold a tab.
    """

    rows: list[list[str]]
    lines: Sequence[int]
    header: list[str] | None = None
    unit: str = "line"
    plain: bool = False


def ends_as(name: str, endings: Set[str]) -> bool:
    """True where a name has one of these endings, as new.csv.gz has .csv."""
    return bool({ending.lower() for ending in PurePath(name).suffixes} & endings)


def table_in(text: str, name: str) -> Table:
    """Rows of `text` without blank ones; raises `DataError` for a quote that is never closed or too many columns."""
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as on a Mac of old
    told = EXCELS.match(text)
    text = f"\n{text[told.end() :]}" if told else text  # the number of each line stays
    tabbed = told[1] == "\t" if told else _has_tabs(text)
    with _fields_of_any_length():
        return _without_comments(_tabbed(text) if tabbed else _separated(text, name, told[1] if told else None))


def _without_comments(table: Table) -> Table:
    """Without the lines above all others that begin with #, but for one that is a row as they are."""
    if not table.rows or not table.rows[0][0].startswith("#"):
        return table
    width = Counter(map(len, table.rows)).most_common(1)[0][0]
    is_row = (not row[0].startswith("#") or (len(row) == width and row[0][1:2].strip()) for row in table.rows)
    begin = next((i for i, found in enumerate(is_row) if found), 0)
    return replace(table, rows=table.rows[begin:], lines=table.lines[begin:])


def _has_tabs(text: str) -> bool:
    lines = [line for line in text[:SAMPLE].split("\n")[:SAMPLE_ROWS] if line.strip()]
    return sum("\t" in line for line in lines) > TABBED * len(lines)


def _tabbed(text: str) -> Table:
    """Lines end at line feeds alone, and a quote is a character like any other, unless all quotes are as in CSV."""
    if text.startswith('"') or '\t"' in text or '\n"' in text:
        with suppress(_StrayQuote):
            quoted = _parsed(text, "\t", strict=True)
            if len(set(map(len, quoted.rows))) == 1 and not _swallowed(quoted.rows):
                return quoted
    lines = _lines_that_say(text)
    return Table([line.split("\t") for line in lines.values()], list(lines), plain=True)


def _lines_that_say(text: str) -> dict[int, str]:
    """The lines that are not blank, by their numbers from 1, without their ends."""
    lines = enumerate(text.split("\n"), 1)
    return {number: line.removesuffix("\r") for number, line in lines if line and not line.isspace()}


def _swallowed(rows: list[list[str]]) -> bool:
    """True where a stray quote joined several lines into one field."""
    return any("\n" in field and "\t" in field for row in rows for field in row)


def _separated(text: str, name: str, told: str | None) -> Table:
    fits = {told: 1.0} if told else {sign: _fits(text, sign) for sign in DELIMITERS}
    delimiter = max(fits, key=lambda sign: fits[sign])
    labelled = _labelled(text) if fits[delimiter] < MOSTLY else None
    if labelled:
        return labelled
    try:
        return _parsed(text, delimiter, strict=True)
    except _StrayQuote as stray:
        table = _parsed(f"{text}\n{LAST}", delimiter, strict=False)
        if table.rows[-1] != [LAST]:
            raise DataError(
                f"{name}, line {stray.line}: a quote is opened and not closed: close it, or double it inside a text"
            ) from None
        return Table(table.rows[:-1], table.lines[:-1])


def _labelled(text: str) -> Table | None:
    """Lines of which each begins with its label; None if one does not."""
    lines = _lines_that_say(text)
    found = [LABELLED.fullmatch(line) for line in lines.values()]
    rows = [[match[1] or match[2], match[3]] for match in found if match]
    return Table(rows, list(lines), plain=True) if len(rows) == len(found) > 0 else None


def _fits(text: str, delimiter: str) -> float:
    """Confidence in `delimiter`: the fraction of rows that have the most common number of columns."""
    cut = len(text) > SAMPLE
    reader = csv.reader(_lines(text[:SAMPLE]), delimiter=delimiter)
    widths = [len(row) for row, _ in zip(reader, range(SAMPLE_ROWS), strict=False) if row]
    widths = widths[:-1] if cut and len(widths) > 1 else widths
    counts = Counter(width for width in widths if width > 1)
    return max(counts.values(), default=0) / max(1, len(widths))


def _parsed(text: str, delimiter: str, strict: bool) -> Table:
    """Rows as `csv` reads them; raises `_StrayQuote` where quotes are not as they should be and that is `strict`."""
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=strict)
    rows, lines, line = [], [], 1
    try:
        for row in reader:
            if any(map(str.strip, row)):
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error:
        raise _StrayQuote(line) from None
    return Table(rows, lines)


def _lines(text: str) -> Iterator[str]:
    """Lines with their ends, one at a time: `io.StringIO` would take four bytes a character."""
    return (match[0] for match in LINE.finditer(text))


class _StrayQuote(Exception):
    def __init__(self, line: int):
        super().__init__(line)
        self.line = line


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """Let `csv` read fields of any length meanwhile: its limit is 128 kB, and one for the whole process."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
