"""From the bytes of one message to its subject and text, as RFC 5322, 2045 to 2047 and 2231 say, and to its label."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError, MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses

from fedlearn.datasets.files.encoding import known
from fedlearn.datasets.files.markup import text_of
from fedlearn.errors import BadInput
from fedlearn.wording import many

# Headers that a message has; one of them alone may begin a plain text as well.
HEADERS = {
    b"from", b"to", b"subject", b"date", b"received", b"return-path", b"message-id", b"delivered-to", b"mime-version",
    b"content-type", b"content-transfer-encoding", b"reply-to", b"sender", b"cc", b"envelope-to", b"x-mailer",
}  # fmt: skip
HEADER = re.compile(rb"([!-9;-~]+):[^\n]*\n(?:[ \t][^\n]*\n)*")
STARTS = re.compile(rb"(?:>?From [^\n]*\n)?(?=[!-9;-~]+:)")
DEEPEST = 30  # parts in parts
HEAD, FIRST = 20_000, 2000  # bytes by which a message is known, and those by which its first line is
JUNK = re.compile(r"\b(?:spam|junk)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Mail:
    """A message: its text, subject first; spam, where a filter or the user marked it; the address that received it."""

    text: str
    spam: bool | None
    receiver: str


class Losses(Counter[str]):
    """Counts of what could not be read in messages: each kind by its word for one, as `skipped attachment`."""

    def notes(self) -> list[str]:
        """A note on each kind, as `2 skipped attachments`."""
        return [many(number, what) for what, number in sorted(self.items())]


def begun(data: bytes) -> bytes:
    """The bytes without a byte order mark and blank lines at the beginning, which editors leave there.

    Where lines end at carriage returns alone, as on an old Mac, they end at line feeds.
    """
    lines = data if b"\n" in data else data.replace(b"\r", b"\n")
    return lines.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")


def is_mail(data: bytes) -> bool:
    """True where bytes begin with the headers of a message, two of which are well known."""
    head, names = begun(data[:HEAD]).replace(b"\r\n", b"\n"), set()
    start = STARTS.match(head[:FIRST])
    if not start:
        return False
    at = start.end()
    while found := HEADER.match(head, at):
        names.add(found[1].lower())
        at = found.end()
    return len(names & HEADERS) >= 2


def read_mail(data: bytes, losses: Losses, receiver_header: str | None = None) -> Mail:
    """The message in `data`; what cannot be read of it goes into `losses`.

    A text without headers is a message too. receiver_header: the header with the user; None for Delivered-To, else To.
    """
    if not is_mail(data):
        return Mail(_plain(_decoded(data, None, losses).removeprefix("Subject:")), None, "")
    try:
        message = message_from_bytes(begun(data))
    except RecursionError:
        losses["too deeply nested part"] += 1
        message = BytesHeaderParser().parsebytes(data)
        del message["Content-Type"]
        message.set_payload("")
    subject = header_text(message, "Subject", losses)
    text = _text(message, losses, 0)
    return Mail(
        "\n".join(filter(None, (subject, text))), _marked(message, losses), _receiver(message, receiver_header, losses)
    )


def header_text(message: Message, name: str, losses: Losses) -> str:
    """A header in plain characters, encoded words (RFC 2047) decoded."""
    value = message.get(name)
    if value is None:
        return ""
    try:
        pieces = decode_header(value)
    except (HeaderParseError, ValueError):
        losses["damaged header"] += 1
        return str(value)
    decoded = (p if isinstance(p, str) else _decoded(p, charset, losses) for p, charset in pieces)
    return " ".join("".join(decoded).split())


def _text(part: Message, losses: Losses, depth: int) -> str:
    if depth > DEEPEST:
        losses["too deeply nested part"] += 1
        return ""
    if part.is_multipart():
        inner = part.get_payload()
        parts = [piece for piece in inner if isinstance(piece, Message)] if isinstance(inner, list) else []
        if part.get_content_type() == "multipart/alternative":
            parts = _best(parts)
        return "\n".join(filter(None, (_text(piece, losses, depth + 1) for piece in parts)))
    # What calls itself multipart and names no boundary is not in parts: its text stands there as it is.
    if part.get_content_maintype() not in ("text", "multipart") or part.get_content_disposition() == "attachment":
        losses["skipped attachment"] += 1
        return ""
    text = _decoded(_content(part), _charset(part), losses)
    return text_of(text) if part.get_content_subtype() == "html" else _plain(text)


def _content(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _best(parts: list[Message]) -> list[Message]:
    """Of parts that say the same, the plain text, unless it is empty, else the last."""
    plain = [part for part in parts if part.get_content_type() == "text/plain" and _content(part).strip()]
    return plain[:1] or [part for part in parts if part.get_content_maintype() in ("text", "multipart")][-1:]


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except (MessageError, LookupError, ValueError):
        return "damaged"


def _decoded(data: bytes, charset: str | None, losses: Losses) -> str:
    """By the declared charset, else as UTF-8, else as Western Windows programs write."""
    if charset in ("us-ascii", "ascii", "iso-8859-1", "latin-1", "unknown-8bit"):  # what is often said, and not so
        charset = None
    if charset is not None:
        try:
            return data.decode(known(charset))
        except UnicodeDecodeError:
            losses["wrongly declared charset"] += 1
        except BadInput:
            losses["unknown charset"] += 1
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _marked(message: Message, losses: Losses) -> bool | None:
    """The label that a filter or the user gave to a message; None without one."""
    flag = str(message.get("X-Spam-Flag") or message.get("X-Spam") or "").strip().casefold()
    if flag in ("yes", "true", "no", "false"):
        return flag in ("yes", "true")
    status = str(message.get("X-Spam-Status") or "").strip().casefold()
    if status.startswith(("yes", "no")):
        return status.startswith("yes")
    if message.get("X-Gmail-Labels") is not None:
        return bool(JUNK.search(header_text(message, "X-Gmail-Labels", losses)))
    return None


def _receiver(message: Message, header: str | None, losses: Losses) -> str:
    names = [header] if header else ["Delivered-To", "X-Original-To", "To"]
    for name in names:
        try:
            addresses = getaddresses([str(value) for value in message.get_all(name, [])])
        except (RecursionError, IndexError, ValueError):
            losses["damaged header"] += 1
            continue
        for _, address in addresses:
            if address:
                return address.strip().casefold()
    return ""
