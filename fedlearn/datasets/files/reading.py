"""A user's settings for reading a file, and what was found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fedlearn.checked import in_order
from fedlearn.configured import make_plain
from fedlearn.errors import BadInput, DataError
from fedlearn.wording import many

STANDARD_INPUT = "-"
ENCODING = "Reading(encoding=NAME)"  # as messages say it; the command says --encoding NAME
SHOWN = 3  # bad rows that an error quotes


def printable(name: str) -> str:
    """A name out of a file, in a message."""
    return name if name.isprintable() else ascii(name)[1:-1]


@dataclass(frozen=True)
class Reading:
    """A user's settings for a file; a setting that is None is guessed.

    text_column, label_column, user_column: names of columns, or their numbers from 1; of mail, user_column is a header.
    spam_label: the value that means spam, others mean ham. labels: the values of more classes, in their order.
    encoding: of the bytes. skip_bad: leave out rows that cannot be read, instead of refusing the file.
    """

    text_column: str | None = None
    label_column: str | None = None
    user_column: str | None = None
    spam_label: str | None = None
    labels: tuple[str, ...] | None = None
    encoding: str | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.labels is not None:
            object.__setattr__(self, "labels", tuple(in_order(self.labels, "values of classes")))
        make_plain(self)
        if self.spam_label is not None and self.labels is not None:
            raise BadInput(
                "spam_label is for ham and spam, Reading(labels=[A,B,C]) for other classes: give one of the two"
            )
        if self.labels is not None and len(set(self.labels)) < max(2, len(self.labels)):
            raise BadInput(f"Reading(labels=[{','.join(self.labels)}]): give at least two values, each once")

    def refuse(self, settings: Sequence[str], of: str) -> None:
        """Raise `DataError` for one of these settings that is given, where it has no effect; of: the data, in words."""
        for name in settings:
            if value := getattr(self, name):
                raise DataError(f"{name}={value} has no effect on {of}: leave it out")


@dataclass
class Found:
    """Messages as they were found: label, text and user of each, and where it stands ("line 7").

    column: the name of the label's. bad: rows that could not be read, with the reason. notes: guesses and losses that
    are said aloud.
    """

    labels: Sequence[str] = ()
    texts: Sequence[str] = ()
    users: Sequence[str] | None = None
    where: Sequence[int | str] = ()
    unit: str = "line"
    column: str = ""
    bad: dict[int | str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def place(self, where: int | str) -> str:
        """Where a message stands, in words: `line 7`, or the path of a file."""
        return f"{self.unit} {where}" if isinstance(where, int) else where

    def without(self, bad: dict[int | str, str]) -> Found:
        """Without the messages at the places that are keys of `bad`, which are counted."""
        if not bad:
            return self
        kept = [i for i, where in enumerate(self.where) if where not in bad]
        return Found(
            [self.labels[i] for i in kept], [self.texts[i] for i in kept],
            None if self.users is None else [self.users[i] for i in kept],
            [self.where[i] for i in kept], self.unit, self.column, self.bad | bad, self.notes,
        )  # fmt: skip

    def without_userless(self, why: str) -> Found:
        """Without the messages of nobody, which are counted as bad; why: the reason that is given."""
        return self.without({w: why for w, u in zip(self.where, self.users or (), strict=True) if not u})

    def settle(self, name: str, how: Reading) -> None:
        """Refuse the file for its bad rows, or note that they are left out; `DataError` counts and quotes them."""
        if not self.bad:
            return
        shown = "; ".join(f"{self.place(where)}: {why}" for where, why in list(self.bad.items())[:SHOWN])
        more = f"; and {len(self.bad) - SHOWN:,} more" if len(self.bad) > SHOWN else ""
        one = "row" if self.unit == "line" else self.unit
        if not how.skip_bad:
            total = len(self.bad) + len(self.texts)
            remedy = ", or leave them out with Reading(skip_bad=True)" if self.texts else ""
            raise DataError(
                f"{name}: {len(self.bad):,} of {many(total, one)} cannot be read ({shown}{more}): mend them{remedy}"
            )
        self.notes.append(f"{many(len(self.bad), f'bad {one}')} left out ({shown}{more})")
