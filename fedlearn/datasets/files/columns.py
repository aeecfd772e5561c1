"""Which column of a table is the text, which the label, which the user: by their names, else by what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fedlearn.datasets.files import labels
from fedlearn.datasets.files.reading import Found, Reading, printable
from fedlearn.datasets.files.tables import MOST_COLUMNS, Nested, Table
from fedlearn.datasets.letters import beginning
from fedlearn.errors import DataError
from fedlearn.spec import did_you_mean
from fedlearn.wording import many

# Names that columns have in data sets that go round, in folded case; the first one that is there is taken.
TEXTS = ("text", "message", "body", "content", "sms", "v2", "email", "mail", "tweet", "email text", "message body",
         "email_text", "message_body", "review", "sentence", "comment", "messages", "texts", "nachricht", "mensaje",
         "mensagem", "messaggio", "texte", "texto", "testo", "bericht")  # fmt: skip
LABELS = ("label", "class", "category", "spam/ham", "target", "type", "is_spam", "isspam", "spam", "v1", "label_num",
          "labels", "kategorie", "categoria", "classe", "klasse", "y")  # fmt: skip
USERS = ("user", "user_id", "userid", "username", "client", "client_id", "mailbox", "account", "owner", "recipient",
         "benutzer", "usuario", "utilisateur", "utente")  # fmt: skip
SUBJECTS = ("subject", "betreff", "asunto", "assunto", "objet", "oggetto")
FEW = 20  # distinct values of a column that may be the label
SHOWN = 12  # columns that an error names
SAMPLE = 100  # values by which a column of addresses is told from one of mails
LONGER = 2.0  # times as long as the next is the column that is taken for the text


def messages_in(table: Table, name: str, how: Reading) -> Found:
    """The messages of a table; raises `DataError` with the columns to choose from where that is not clear."""
    if not table.rows:
        raise DataError(f"{name} is empty: give one message a line, as label TAB text, or a table with a header")
    widest = max(map(len, table.rows))
    if widest > MOST_COLUMNS:
        raise DataError(f"{name}: {many(widest, 'column')}, the limit is {MOST_COLUMNS:,}: give a table of messages")
    table = _with_header(table, how)
    if not table.rows:
        raise DataError(f"{name} has a header line and no message: add one message a line")
    if table.header is None and table.plain:
        table = replace(table, rows=[_label_and_rest(row) for row in table.rows])
    table, found = _of_one_width(table)
    if not table.rows:
        found.settle(name, replace(how, skip_bad=False))
    return _Columns(table, name, how).messages(found)


def texts_in(table: Table, name: str, how: Reading) -> Found:
    """The texts of a table without labels, in a column that is said, named as one of texts, or clearly the longest."""
    if table.header is None and {labels.plain(value) for value in table.rows[0]} & {*TEXTS}:
        table = _below_first(table)
    table, found = _of_one_width(_with_header(table, how))
    return _Columns(table, name, how).texts(found) if table.rows else found


def _with_header(table: Table, how: Reading) -> Table:
    """The table with its first row as header, if that is one."""
    if table.header is not None or not _is_header(table, how):
        return table
    return _below_first(table)


def _below_first(table: Table) -> Table:
    """The table with its first row as header."""
    header = [name.strip() for name in table.rows[0]]
    return replace(table, header=header, rows=table.rows[1:], lines=table.lines[1:])


def _is_header(table: Table, how: Reading) -> bool:
    first = [labels.plain(name) for name in table.rows[0]]
    asked = {labels.plain(name) for name in (how.text_column, how.label_column, how.user_column) if name is not None}
    if asked & set(first):
        return True
    number = number_of(how.label_column, len(first))
    if number is not None:
        return all(labels.plain(row[number]) != first[number] for row in table.rows[1:] if len(row) > number)
    named = {kind for kind in (TEXTS, LABELS, USERS, SUBJECTS) if set(kind) & set(first)}
    if len(named) > 1:
        return True
    rest = [row for row in table.rows[1:] if len(row) == len(first)]
    if len(first) < 2 or len(rest) < 2 or any(not value for value in first[:2]):
        return False
    columns = [[labels.plain(value) for value in column] for column in zip(*rest, strict=True)]
    repeated = [set(column) for column in columns if len(set(column)) <= min(FEW, len(column) / 2)]
    return (
        bool(repeated)
        and not any(value in values for value in first for values in repeated)
        and not any(map(labels.known, first))
    )


def number_of(column: str | None, width: int) -> int | None:
    """The number from 0 of a column that the user gave by its number from 1."""
    is_number = column is not None and column.isdecimal() and len(column) < 10  # Python reads no number of any length
    return int(column) - 1 if column and is_number and 1 <= int(column) <= width else None


def place_of(name: str, names: Sequence[str], file: str) -> int:
    """The number of the column of this name; raises `DataError` where several have it."""
    if names.count(name) > 1:
        raise DataError(f"{file}: {many(names.count(name), 'column')} named {name}: keep one")
    return names.index(name)


def _label_and_rest(row: list[str]) -> list[str]:
    """`label TAB text`, of which the text may hold tabs."""
    return row if len(row) < 2 else [row[0], "\t".join(row[1:])]


def _of_one_width(table: Table) -> tuple[Table, Found]:
    """The rows as wide as the header, or as most are; others are bad, unless they add nothing but blanks."""
    widths = Counter(map(len, table.rows))
    width = len(table.header) if table.header else widths.most_common(1)[0][0]
    found = Found(unit=table.unit)
    if set(widths) == {width}:
        return table, found
    rows, lines = [], []
    for row, line in zip(table.rows, table.lines, strict=True):
        while len(row) > width and not row[-1].strip():
            row = row[:-1]
        if len(row) == width:
            rows.append(row)
            lines.append(line)
        else:
            where = "line 1 names" if table.header else "most lines have"
            quotes = "; texts with the delimiter in them need quotes" if len(row) > width and not found.bad else ""
            found.bad[line] = f"{many(len(row), 'field')} where {where} {width}{quotes}"
    return replace(table, rows=rows, lines=lines), found


class _Columns:
    """The columns of a table, and the choice among them."""

    def __init__(self, table: Table, name: str, how: Reading):
        self.table, self.name, self.how = table, name, how
        self.width = len(table.rows[0])
        self.names = _known_within([labels.plain(name) for name in table.header or ()])

    def messages(self, found: Found) -> Found:
        label = self._said("label", self.how.label_column)
        text = self._said("text", self.how.text_column)
        user = self._said("user", self.how.user_column)
        if user is None:
            user = self._named(USERS)
        label = self._label(text, user) if label is None else label
        text, subject = self._text(label, user) if text is None else (text, None)
        if len({label, text, user} - {None}) < 2 + (user is not None):
            raise DataError(f"{self.name}: one column is taken for two things: {self._choose('text')}")
        found.labels, found.texts, found.where = self._column(label), self._beside(text, subject), self.table.lines
        if user is not None:
            found.users = [value.strip() for value in self._column(user)]
            found = found.without_userless("empty user")
        found = self._without_nested(found, text)
        if self.names and not {self.names[label], self.names[text]} <= {*LABELS, *TEXTS}:
            found.notes.append(f"label in column {self._shown(label)}, text in {self._shown(text)}")
        found.column = self._shown(label) if self.names else ""
        return found

    def texts(self, found: Found) -> Found:
        """The texts alone."""
        text = self._said("text", self.how.text_column)
        text, subject = self._text() if text is None else (text, None)
        found.texts, found.where = self._beside(text, subject), self.table.lines
        found.labels = [""] * len(found.texts)
        if self.names and self.names[text] not in TEXTS and self.how.text_column is None:
            found.notes.append(f"text in {self._shown(text)}")
        return self._without_nested(found, text)

    def _beside(self, text: int, subject: int | None) -> list[str]:
        """The texts, each with its subject before it where there is such a column."""
        texts = self._column(text)
        if subject is None:
            return texts
        return [f"{s}\n{t}" if s else t for s, t in zip(self._column(subject), texts, strict=True)]

    def _without_nested(self, found: Found, text: int) -> Found:
        """Without the rows, now bad ones, that have a list or an object in the place of the text."""
        what = f"column {self._shown(text)} is"
        return found.without(
            {
                line: f"{what} {printable(beginning(row[text], 40))}, no text"
                for row, line in zip(self.table.rows, self.table.lines, strict=True)
                if isinstance(row[text], Nested)
            }
        )

    def _column(self, number: int) -> list[str]:
        return [row[number] for row in self.table.rows]

    def _shown(self, number: int) -> str:
        """The name of a column, in a message."""
        return printable(self.table.header[number]) if self.table.header else str(number + 1)

    def _said(self, kind: str, column: str | None) -> int | None:
        """The column that the user named, by name or number."""
        if column is None:
            return None
        name = labels.plain(column)
        whole = [labels.plain(name) for name in self.table.header or ()]
        if whole.count(name) == 1:
            return whole.index(name)
        if name in self.names:
            return place_of(name, self.names, self.name)
        number = number_of(column, self.width)
        if number is not None:
            return number
        near = did_you_mean(name, self.names)
        raise DataError(f"{self.name}: no column {column!r}{near} for {kind}_column: {self._choose(kind)}")

    def _choose(self, kind: str) -> str:
        shown = [self._shown(i) or "''" for i in range(self.width)]
        listed = ", ".join(shown[:SHOWN]) + (f" and {self.width - SHOWN} more" if self.width > SHOWN else "")
        return f"the columns are {listed}: give Reading({kind}_column=NAME)"

    def _named(self, known: tuple[str, ...]) -> int | None:
        """The first of the known names that is a column's; raises `DataError` if it is more than one's."""
        name = next((name for name in known if name in self.names), None)
        return None if name is None else place_of(name, self.names, self.name)

    def _label(self, *taken: int | None) -> int:
        named = self._named(LABELS)
        if named is not None and named not in taken:
            self._check_others_agree(named)
            return named
        values = {i: Counter(map(labels.plain, self._column(i))) for i in range(self.width) if i not in taken}
        recognised = {i: counts for i, counts in values.items() if any(map(labels.known, counts))}
        sure = [i for i, counts in recognised.items() if all(map(labels.known, filter(None, counts)))]
        few = [i for i, counts in values.items() if 2 <= len(counts) <= min(FEW, counts.total() / labels.ENOUGH)]
        partly = [i for i, counts in recognised.items() if i in few or 2 * _recognised(counts) >= counts.total()]
        for candidates in (sure, partly, few):
            if len(candidates) == 1:
                return candidates[0]
            if len(candidates) > 1:
                break
        if self.width == 1:
            sample = beginning(self.table.rows[0][0], 40)
            raise DataError(
                f"{self.name}, {self.table.unit} {self.table.lines[0]}: no label beside {sample!r}: write it as label "
                "TAB text, or as a table with a header; a play or another text without labels is for `fedlearn run "
                "shakespeare`"
            )
        raise DataError(f"{self.name}: which column is the label is not clear: {self._choose('label')}")

    def _check_others_agree(self, label: int) -> None:
        """Raise `DataError` where another column with a label's name says the contrary of this one."""
        ours = [labels.MEANINGS.get(labels.plain(value)) for value in self._column(label)]
        for other in {self.names.index(name) for name in LABELS if name in self.names} - {label}:
            theirs = [labels.MEANINGS.get(labels.plain(value)) for value in self._column(other)]
            if None not in theirs and set(ours) != {None} and theirs != ours:
                both = f"{self._shown(label)} and {self._shown(other)}"
                raise DataError(f"{self.name}: columns {both} say different labels: {self._choose('label')}")

    def _text(self, *taken: int | None) -> tuple[int, int | None]:
        """The column of the text, and that of a subject beside it, among those that are not taken."""
        subject = self._named(SUBJECTS)
        subject = None if subject in taken else subject
        named = [self.names.index(name) for name in TEXTS if name in self.names]
        fit = [i for i in named if i not in taken and not self._is_address(i)]
        if fit:
            self._named((self.names[fit[0]],))
            return fit[0], subject
        lengths = {i: sum(map(len, self._column(i))) for i in range(self.width) if i not in taken}
        ranked = sorted(lengths, key=lambda i: -lengths[i])
        if not ranked or not lengths[ranked[0]]:
            raise DataError(f"{self.name}: no column of texts: {self._choose('text')}")
        if len(ranked) > 1 and lengths[ranked[0]] < LONGER * lengths[ranked[1]]:
            raise DataError(f"{self.name}: which column is the text is not clear: {self._choose('text')}")
        return ranked[0], None

    def _is_address(self, number: int) -> bool:
        """True where a column named email holds addresses."""
        sample = self._column(number)[:SAMPLE]
        return sum("@" in value and " " not in value for value in sample) > len(sample) / 2


def _known_within(names: list[str]) -> list[str]:
    """The names; of `meta.user`, as a user within an object of JSON is called, `user`, if nothing else is called so."""
    known = {*TEXTS, *LABELS, *USERS, *SUBJECTS}
    inner = [name.rpartition(".")[2] for name in names]
    return [
        last if last in known and last not in names and inner.count(last) == 1 else name
        for name, last in zip(names, inner, strict=True)
    ]


def _recognised(counts: Counter[str]) -> int:
    """How many of the labels are words for ham or spam."""
    return sum(number for value, number in counts.items() if labels.known(value))
