"""Mailboxes and folders of mail: mbox, Maildir, and messages sorted in folders of ham and spam."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fedlearn.datasets.files.mail import FIRST, HEAD, Losses, Mail, begun, is_mail, read_mail
from fedlearn.datasets.files.reading import Found, Reading
from fedlearn.datasets.files.tables import ENDINGS, ends_as
from fedlearn.errors import DataError
from fedlearn.wording import many

# The line before each message of an mbox, and before its headers; in a text, most programs put a > before such a line.
FROM = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]*\d\d:\d\d[^\n]*\n(?=>From |[!-9;-~]+:)")
QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
SPAM_FOLDER = re.compile(r"\.?(?:spam|junk)(?:[-_ ]?(?:e-?mails?|mails?|messages?|folder|\d+))*")
HAM_FOLDER = re.compile(r"\.?(?:easy[-_ ]?|hard[-_ ]?)?(?:ham|not?[-_ ]?spam|legit)(?:[-_ ]?(?:e-?mails?|mails?|\d+))*")
ENDING = re.compile(r"\.(?:mbox|mbx|eml|emlx|msg|txt)$")
INNER = re.compile(r"cur|new|tmp|maildir|mail|mbox|inbox|\..*")  # files and folders inside of one person's mail
TABLES = ENDINGS | {".parquet", ".arrow", ".feather", ".npz", ".xlsx"}
OF_TABLES = ("text_column", "label_column", "encoding")  # settings that mail has no use for
BINARY_HEAD = 1000  # bytes in which a file that is no text has a zero
PER_USER = 10  # messages to an address, on average, that make it a client; others are lists and copies


@dataclass(frozen=True)
class _Placed:
    """A message, the folders and file that it lies in, and the mailbox that says whose it is."""

    path: str
    mail: Mail
    spam: bool | None
    box: str


def is_mbox(data: bytes) -> bool:
    """True where bytes begin like an mbox: a "From " line, then a message with headers."""
    head = begun(data[: FIRST + HEAD])
    start = FROM.match(head[:FIRST])
    return start is not None and is_mail(head[start.end() :])


def mbox_messages(data: bytes) -> list[bytes]:
    """The messages of an mbox, `>From` in their texts unquoted."""
    data = begun(data)
    starts = [(match.start(), match.end()) for match in FROM.finditer(data)]
    ends = [start for start, _ in starts[1:]] + [len(data)]
    return [QUOTED_FROM.sub(rb"\1", data[begin:end]) for (_, begin), end in zip(starts, ends, strict=True)]


def messages_in(members: Sequence[tuple[str, bytes]], name: str, how: Reading) -> Found:
    """The messages of files, (path, bytes): of each mbox, or each file one message. Raises `DataError` without labels.

    A message is spam or ham by the nearest folder that says so, else by what its headers say; where some folders are
    of spam, or some headers say so, the rest is ham.
    """
    placed, losses = _all_placed(members, how)
    if not placed:
        raise DataError(f"{name} holds no message: give mbox files, a Maildir, or folders spam/ and ham/ of messages")
    found = Found(unit="message", column="")
    known = [one.mail.spam if one.spam is None else one.spam for one in placed]
    if True not in known:
        tables = [path for path, _ in members if ends_as(path, TABLES)]
        if tables:
            raise DataError(
                f"{name} holds {many(len(members), 'file')}, and a table is read by itself: give one, as {tables[0]}"
            )
        raise DataError(
            f"{name}: nothing says whether its {many(len(placed), 'message is', 'messages are')} spam: sort them into "
            "folders or mbox files named spam and ham"
        )
    how.refuse(OF_TABLES, f"{name}, which is mail")
    unsaid = known.count(None)
    if unsaid:
        found.notes.append(f"{many(unsaid, 'message')} outside of spam folders taken for ham")
    found.labels = ["spam" if spam else "ham" for spam in known]
    found.texts = [one.mail.text for one in placed]
    found.where = [one.path for one in placed]
    found.users = _users(placed, how)
    found.notes += losses.notes()
    if how.user_column is None:
        return found
    if not any(found.users or ()):
        raise DataError(
            f"{name}: no address in the header {how.user_column} of its {many(len(placed), 'message')}: name another "
            "header in Reading(user_column=NAME), or none"
        )
    return found.without_userless(f"no {how.user_column} header")


def texts_in(members: Sequence[tuple[str, bytes]], name: str, how: Reading) -> Found:
    """The texts of the messages of files, (path, bytes), whether something says what is spam or not.

    Raises `DataError` for a file that has text and is neither mail nor, by its name, a message.
    """
    for path, data in members:
        is_message = is_mbox(data) or is_mail(data) or ENDING.search(path.casefold())
        if not (is_message or _is_binary(data) or not data.strip()):
            raise DataError(
                f"{name} holds files that are no mail, as {path}: give messages, .txt files of one text each, or one "
                "file with a text a line"
            )
    how.refuse(OF_TABLES, f"{name}, which is mail")
    placed, losses = _all_placed(members, how)
    return Found(texts=[one.mail.text for one in placed], unit="message", notes=losses.notes())


def _all_placed(members: Sequence[tuple[str, bytes]], how: Reading) -> tuple[list[_Placed], Losses]:
    losses = Losses()
    return [one for path, data in members for one in _placed(path, data, losses, how)], losses


def _placed(path: str, data: bytes, losses: Losses, how: Reading) -> list[_Placed]:
    folders = path.split("/")
    if _is_binary(data):
        losses["binary file"] += 1
        return []
    stem = folders[-1].removesuffix(".mbox").removesuffix(".mbx")
    if is_mbox(data) and (len(boxed := mbox_messages(data)) > 1 or stem != folders[-1]):
        spam = _sorted_as([*folders[:-1], stem])
        box = stem if _sorted_as([stem]) is None and not INNER.fullmatch(stem.lower()) else _owner(folders)
        mails = [read_mail(one, losses, how.user_column) for one in boxed]
        return [_Placed(f"{path} message {i}", mail, spam, box) for i, mail in enumerate(mails, 1)]
    if not data.strip():
        losses["empty file"] += 1
        return []
    spam = _sorted_as(folders[:-1])
    spam = _sorted_as(folders[-1:]) if spam is None else spam  # spam_12.eml; any name may stand in a folder that tells
    return [_Placed(path, read_mail(data, losses, how.user_column), spam, _owner(folders))]


def _is_binary(data: bytes) -> bool:
    """True for a file with a zero byte; in a message it is a stray sign."""
    return b"\0" in data[:BINARY_HEAD] and not (is_mbox(data) or is_mail(data))


def _owner(path: Sequence[str]) -> str:
    """The folders that say whose mail a file is: not those that every mailbox has."""
    names = [folder.removesuffix(".mbox") for folder in path[:-1]]
    return "/".join(name for name in names if _sorted_as([name]) is None and not INNER.fullmatch(name.lower()))


def _sorted_as(path: Sequence[str]) -> bool | None:
    """True where the innermost telling folder (or Enron-Spam's file name) is one of spam; None if none tells."""
    for folder in reversed([ENDING.sub("", part.casefold()) for part in path]):
        if SPAM_FOLDER.fullmatch(folder) or folder.endswith(".spam"):
            return True
        if HAM_FOLDER.fullmatch(folder) or folder.endswith(".ham"):
            return False
    return None


def _users(placed: Sequence[_Placed], how: Reading) -> list[str] | None:
    """The owner of each message: its mailbox or folder if there are several, else its recipient."""
    receivers = [one.mail.receiver for one in placed]
    if how.user_column is not None:
        return receivers
    boxes = [one.box for one in placed]
    if len(set(boxes)) > 1 and all(boxes):
        shared = len(os.path.commonpath(boxes))
        return [box[shared:].strip("/") or box for box in boxes]
    users = len(set(receivers))
    return receivers if 2 <= users <= len(placed) / PER_USER and all(receivers) else None
