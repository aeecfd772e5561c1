"""Reading labelled messages: the two public spam collections and a user's own tab-separated file.

The format is one message a line, fields parted by tabs, lines by LF (CR LF in users' files): no quoting,
and no other line break counts, since messages hold stray quotes and control characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import numpy as np

from fedlearn.datasets.corpus import HAM, SPAM, Corpus
from fedlearn.datasets.dataset import MESSAGES, FileSet, text_in
from fedlearn.errors import DataError

LABELS = {"ham": HAM, "0": HAM, "spam": SPAM, "1": SPAM}


def parse_messages(data: bytes, name: str, source: str) -> Corpus:
    """Read a tab-separated file of messages.

    With a first line that names the columns `label` and `text` (and optionally `user`; others are
    ignored) every line must have the columns it names; without one a line is `label TAB text`. Labels are
    ham and spam, or 0 and 1, in any case. Raises `DataError` naming the line, the value and the remedy.
    """
    lines = _lines(data, name)
    header = [column.strip().lower() for column in lines[0].split("\t")]
    named = {"label", "text"} <= set(header)
    records = _columns(lines, header, name) if named else _pairs(lines, name)
    labels, texts, users = zip(*records, strict=True)
    if len(set(labels)) < 2:
        missing = "spam" if labels[0] == HAM else "ham"
        raise DataError(f"{name}: all {len(labels)} messages have one label: add messages labelled {missing}")
    return Corpus(
        name=name,
        texts=texts,
        labels=np.array(labels, dtype=np.int8),
        users=users if named and "user" in header else None,
        synthetic=False,
        sha256=sha256(data).hexdigest(),
        source=source,
    )


def _lines(data: bytes, name: str) -> list[str]:
    text = text_in(data, name, "one message a line, as label TAB text")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _pairs(lines: list[str], name: str) -> Iterator[tuple[int, str, str | None]]:
    for number, line in enumerate(lines, start=1):
        label, tab, text = line.partition("\t")
        if not tab:
            raise DataError(f"{name}, line {number}: no tab in {line[:40]!r}: write it as label TAB text")
        yield _label(label, name, number), text, None


def _columns(lines: list[str], header: list[str], name: str) -> Iterator[tuple[int, str, str | None]]:
    for column in ("label", "text", "user"):
        if header.count(column) > 1:
            raise DataError(f"{name}, line 1: {header.count(column)} columns named {column}: keep one")
    if len(lines) == 1:
        raise DataError(f"{name} has a header line and no message: add one message a line")
    label, text = header.index("label"), header.index("text")
    user = header.index("user") if "user" in header else None
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        if len(fields) != len(header):
            raise DataError(
                f"{name}, line {number}: {len(fields)} fields where line 1 names {len(header)} columns: "
                "part fields by one tab each and replace tabs inside a text by spaces"
            )
        if user is not None and not fields[user].strip():
            raise DataError(f"{name}, line {number}: empty user: name one on each line or drop the column")
        yield (
            _label(fields[label], name, number),
            fields[text],
            None if user is None else fields[user].strip(),
        )


def _label(value: str, name: str, number: int) -> int:
    try:
        return LABELS[value.strip().lower()]
    except KeyError:
        raise DataError(
            f"{name}, line {number}: label {value[:40]!r} is none of ham, spam, 0, 1: mend the line, or name "
            "the columns label and text in a first line"
        ) from None


SMS_SPAM = FileSet(
    name="sms_spam",
    task=MESSAGES,
    instead="use --data sample",
    records="5,574 SMS",
    clients="none",
    licence="CC BY 4.0",
    origin="SMS Spam Collection v.1, UCI data set 228; Almeida, Gomez Hidalgo and Yamakami, ACM DocEng 2011",
    filename="SMSSpamCollection.tsv",
    sha256="7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
    parse=parse_messages,
    url="https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
    member="SMSSpamCollection",
)

ENRON = FileSet(
    name="enron",
    task=MESSAGES,
    instead="use --data sample",
    records="6,000 e-mails",
    clients="6 mailboxes",
    licence="none stated; published for research",
    origin=(
        "1,000 messages of each mailbox of Enron-Spam, preprocessed form, Metsis, Androutsopoulos and "
        "Paliouras, CEAS 2006: white space collapsed, first 200 tokens, under 4 tokens and repeats dropped, "
        "seeded draw, columns user label date msg_id text"
    ),
    private=True,
    filename="enron_users.tsv",
    sha256="3b50b9e1e8ba4b651a3aa918a809f1c21766247fd94c1fceae10b697315f2316",
    parse=parse_messages,
)
