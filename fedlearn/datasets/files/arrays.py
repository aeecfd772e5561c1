"""Reading numbers in classes: .npz and .npy of NumPy, and tables whose columns are numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from tokenize import TokenError  # by which NumPy reads headers that Python 2 wrote

import numpy as np

from fedlearn.checked import REAL
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.files import columns, labels
from fedlearn.datasets.files.opening import Source, opened
from fedlearn.datasets.files.reading import Found, Reading, printable
from fedlearn.datasets.files.rows import rows_of
from fedlearn.datasets.files.tables import Table
from fedlearn.datasets.letters import beginning
from fedlearn.errors import DataError
from fedlearn.spec import did_you_mean
from fedlearn.wording import many

NPY = b"\x93NUMPY"
FEATURES = ("x", "features", "data", "images", "inputs", "x_train")
CLASSES = ("y", "labels", "label", "target", "targets", "classes", "y_train")
MORE_LABELS = ("species", "diagnosis", "outcome", "result")  # names of columns, beside those of messages
MOST_COLUMNS, MOST_CLASSES = 2**17, 1000
FEW_CLASSES = 20  # which a small table may have as well; beyond, a class has two rows on average
SHOWN = 6  # classes that a message names
NEAR = 8  # columns that an error names
THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*")  # what may be 1,234 as well as 1.234


def read_samples(path: str, how: Reading | None = None) -> Samples:
    """The numbers in classes at `path`, unscaled; - is standard input.

    Of `how`, `label_column` names the column or the array of the classes (else a known name, else the last column),
    `labels` their order, `user_column` whose each row is. Raises `DataError` in one line for what cannot be read, and
    for what `how` says of texts.
    """
    return samples_of(opened(path), how or Reading())


def samples_of(source: Source, how: Reading) -> Samples:
    """Same as `read_samples`, for a source that is open already."""
    how.refuse(("text_column", "spam_label"), f"{source.name}, which is read as numbers in classes")
    if is_arrays(source):
        return _of_arrays(source, how)
    if source.members is not None:
        raise DataError(f"{source.name} holds other files than arrays: give one table, .npz or .npy")
    return _of_table(source, how)


def is_arrays(source: Source) -> bool:
    """True where a source is NumPy's: .npy, or .npz, which is a zip file of them."""
    members = source.members or (("", source.data),)
    return any(data.startswith(NPY) for _, data in members)


def _of_arrays(source: Source, how: Reading) -> Samples:
    members = source.members or (("", source.data),)
    arrays = {name.removesuffix(".npy"): _array(data, source.name) for name, data in members if data.startswith(NPY)}
    if len(arrays) < len(members):
        raise DataError(f"{source.name} holds other files than arrays: give one table, .npz or .npy")
    if len(arrays) == 1:
        return _of_one_array(source, next(iter(arrays.values())), how)
    lower = {name.lower(): name for name in arrays}
    x = next((lower[name] for name in FEATURES if name in lower), None)
    for asked in filter(None, (how.label_column, how.user_column)):
        if asked not in arrays:
            listed = ", ".join(map(printable, arrays))
            raise DataError(f"{source.name}: no array {asked!r}{did_you_mean(asked, arrays)}: it has {listed}")
    y = how.label_column or next((lower[name] for name in CLASSES if name in lower), None)
    if x is None or y is None:
        raise DataError(f"{source.name} has the arrays {', '.join(map(printable, arrays))}: name them X and y")
    left = sorted(set(arrays) - {x, y, how.user_column})
    notes = [f"left out: {', '.join(map(printable, left))}"] if left else []
    users = arrays[how.user_column] if how.user_column else None
    return _samples(source, arrays[x], arrays[y], how, notes, users)


def _of_one_array(source: Source, table: np.ndarray, how: Reading) -> Samples:
    """A table of numbers, of which one column is the classes, and another one may be the users."""
    if table.ndim != 2 or table.shape[1] < 2 or not table.size:
        raise DataError(f"{source.name}: an array {table.shape} of one file must be (n, d), a column of it classes")
    label = _column(how.label_column, [], table.shape[1], source.name)
    user = _column(how.user_column, [], table.shape[1], source.name)
    notes = [] if how.label_column else ["the last column taken for the classes"]
    label = table.shape[1] - 1 if label is None else label
    features = np.delete(table, _apart(label, user, table.shape[1], source.name), axis=1)
    return _samples(source, features, table[:, label], how, notes, None if user is None else table[:, user])


def _array(data: bytes, name: str) -> np.ndarray:
    """One array, never a pickle, and no larger than its bytes."""
    try:
        file = BytesIO(data)
        read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[np.lib.format.read_magic(file)[0]](file)
        if dtype.hasobject or dtype.itemsize * int(np.prod(shape, dtype=object)) != len(data) - file.tell():
            raise ValueError("objects, or another size than it says")
        found: np.ndarray = np.load(BytesIO(data), allow_pickle=False)
        return found
    except (ValueError, KeyError, EOFError, OSError, TokenError) as error:
        raise DataError(f"{name} holds an array that cannot be read ({str(error)[:60]}): save it once more") from None


def _of_table(source: Source, how: Reading) -> Samples:
    name, found = source.name, Found()
    table = rows_of(source, how, found)
    widest = max(map(len, table.rows), default=0)
    if not table.rows:
        found.settle(name, replace(how, skip_bad=False))
        raise DataError(f"{name} is empty: give rows of numbers, and a class in each")
    if not 2 <= widest <= MOST_COLUMNS:
        raise DataError(
            f"{name} has {many(widest, 'column')}: from 2 to {MOST_COLUMNS:,} are read, numbers and a class"
        )
    header = table.header
    if header is None and not any(number(value) is not None for value in table.rows[0][:-1]):
        header, table = table.rows[0], replace(table, rows=table.rows[1:], lines=table.lines[1:])
    return _of_rows(source, table, [labels.plain(name) for name in header or ()], how, found)


def _of_rows(source: Source, table: Table, names: list[str], how: Reading, found: Found) -> Samples:
    name, width = source.name, len(names) or max(map(len, table.rows))
    label = _column(how.label_column, names, width, name)
    if label is None:
        label = _known((*columns.LABELS, *MORE_LABELS), names, name)
    if label is None:
        label = width - 1
        found.notes.append("the last column taken for the classes")
    user = _column(how.user_column, names, width, name) if how.user_column else _known(columns.USERS, names, name)
    apart = _apart(label, user, width, name)
    numbers = [i for i in range(width) if i not in apart]
    features, kept = [], []
    for row, line in zip(table.rows, table.lines, strict=True):
        values = [number(row[i]) for i in numbers] if len(row) == width else []
        if len(row) != width:
            found.bad[line] = f"{many(len(row), 'field')} where most have {width}"
        elif not row[label].strip():
            found.bad[line] = "empty class"
        elif user is not None and not row[user].strip():
            found.bad[line] = "empty user"
        elif None in values:
            wrong = numbers[values.index(None)]
            found.bad[line] = (
                f"column {printable(names[wrong]) if names else wrong + 1} is {beginning(row[wrong], 20)!r}, no number"
            )
        else:
            features.append(values)
            kept.append(row)
    found.unit, found.texts = table.unit, [row[label] for row in kept]
    if not kept:
        _refuse_words([row for row in table.rows if len(row) == width], numbers, names, name)
    found.settle(name, how)
    grouped = next((row[i] for row in kept for i in numbers if "," in row[i] and THOUSANDS.fullmatch(row[i])), None)
    if grouped is not None:
        found.notes.append(f"a comma in a number taken for the decimal point: {grouped.strip()} is {number(grouped):g}")
    users = None if user is None else np.array([row[user] for row in kept], object)
    return _samples(source, np.array(features), np.array(found.texts, object), how, found.notes, users)


def _refuse_words(rows: Sequence[Sequence[str]], numbers: Sequence[int], names: Sequence[str], name: str) -> None:
    """Raise `DataError` for a column of features without a number in it."""
    for i in numbers:
        if rows and all(number(row[i]) is None for row in rows):
            raise DataError(
                f"{name}: column {printable(names[i]) if names else i + 1} has words where numbers are read, as "
                f"{beginning(rows[0][i], 20)!r}: take it out, or say what it is in Reading(user_column=NAME) or "
                "Reading(label_column=NAME)"
            )


def _apart(label: int, user: int | None, width: int, name: str) -> list[int]:
    """The columns that are no features; raises `DataError` where they are one, or all."""
    if label == user:
        raise DataError(f"{name}: column {label + 1} is said to be class and user: give one of them another column")
    apart = [label] if user is None else [label, user]
    if len(apart) == width:
        raise DataError(f"{name}: its columns are class and user: give a column of numbers beside them")
    return apart


def _known(known: Sequence[str], names: Sequence[str], name: str) -> int | None:
    """The column that has the first of the known names that is there."""
    found = next((one for one in known if one in names), None)
    return None if found is None else columns.place_of(found, names, name)


def _column(asked: str | None, names: Sequence[str], width: int, name: str) -> int | None:
    """The number of the column that the user named, by its name or its number from 1."""
    if asked is None:
        return None
    plain = labels.plain(asked)
    if plain in names:
        return columns.place_of(plain, names, name)
    place = columns.number_of(asked, width)
    if place is not None:
        return place
    listed = ", ".join(map(printable, names[-NEAR:])) if names else f"1 to {width}"
    raise DataError(f"{name}: no column {asked!r}{did_you_mean(plain, names)}: the last ones are {listed}")


def number(text: str) -> float | None:
    """A finite number, with a decimal point or comma; 1_000 is none, though Python reads it as one."""
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            return None
    return value if np.isfinite(value) else None


def _samples(
    source: Source, features: np.ndarray, values: np.ndarray, how: Reading, notes: list[str], users: np.ndarray | None
) -> Samples:
    """The examples, checked; classes are numbered in the order of the user's `labels`, else of their values."""
    if features.ndim < 1 or len(features) != len(values) or features.dtype.kind not in REAL:
        raise DataError(
            f"{source.name}: features {features.shape} of {features.dtype} and classes {values.shape}: give rows of "
            "numbers with a class each"
        )
    if not len(values):
        raise DataError(f"{source.name} holds no row of numbers: give one")
    each = _words(values, "class", source.name)
    found = sorted(set(each), key=_in_order)
    names = list(how.labels) if how.labels else found
    shown = ", ".join(map(printable, names[:SHOWN])) + ("..." if len(names) > SHOWN else "")
    if len(found) > min(MOST_CLASSES, max(FEW_CLASSES, len(values) // 2)):
        raise DataError(
            f"{source.name}: the column of the classes has {many(len(found), 'value')}: give Reading(label_column=NAME)"
        )
    numbers = {name: i for i, name in enumerate(names)}
    odd = next((value for value in found if value not in numbers), None)
    if odd is not None:
        raise DataError(f"{source.name}: class {odd!r} is none of {shown}: name all classes, or leave its rows out")
    if len(found) < 2:
        raise DataError(f"{source.name}: class {found[0]!r} is the only one: give rows of two classes or more")
    classes = np.array([numbers[value] for value in each], np.int64)
    if names != [str(i) for i in range(len(names))]:
        notes = [*notes, f"classes {shown}"]
    whose = None if users is None else _words(users, "user", source.name)
    samples = Samples.of(source.name, features, classes, source=f"file {source.name}", users=whose)
    return samples.read_from(source.sha256, names, tuple(notes))


def _words(values: np.ndarray, what: str, name: str) -> list[str]:
    """Classes or users, (n,) or (n, 1), as texts; raises `DataError` for what is neither text, number nor date."""
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1 or values.dtype.kind not in "biufSUMO":
        raise DataError(f"{name}: {what} is an array {values.shape} of {values.dtype}: give one value for each row")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            where = int((~np.isfinite(values)).argmax())
            raise DataError(f"{name}: {what} number {where} is {values[where]}: leave out rows without a {what}")
        if (np.abs(values) < 2**63).all() and np.array_equal(values, np.floor(values)):
            values = values.astype(np.int64)  # so that a class is called 1, and not 1.0
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{name}: {what} is text that is not UTF-8: save it as str") from None
    return [str(value).strip() for value in values.tolist()]


def _in_order(value: str) -> tuple[float, str]:
    found = number(value)
    return (float("inf") if found is None else found, value)
