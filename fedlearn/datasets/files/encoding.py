"""From bytes to text: the encoding that a user names, a byte order mark, UTF-8, or what Western Windows programs write.

A guess that is not UTF-8 is said aloud. Trial is enough here: text in another encoding is hardly ever valid UTF-8, and
which of the many one-byte encodings it is in, no detector knows for sure; the user does. So where more letters are
beyond ASCII than Western languages have, nothing is guessed: the error shows how the text reads in each that fits.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from string import ascii_letters

from fedlearn.datasets.files.reading import ENCODING
from fedlearn.errors import BadInput, DataError
from fedlearn.wording import many

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LOOKED_AT = 2**16  # bytes or characters by which a text is judged
CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"
BEYOND_ASCII, LETTERS = bytes(range(128, 256)), ascii_letters.encode()
OTHERS = ("koi8-r", "cp1251", "gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp1253", "cp1255", "cp1256", "cp874")
WESTERN = 0.3  # most of the letters that are beyond ASCII in a Western text; French and Polish have a tenth
FEW = 20  # bytes beyond ASCII that tell nothing
SHOWN = 12  # characters of the text as an encoding would have it
BINARY = 0.02  # share of control characters that no text has
READABLE = 0.9  # more of the characters beyond ASCII are letters, where the encoding is the right one
# UTF-16 without a mark: of so many bytes, more than ZEROS of every other one are 0, and fewer than STRAY of the rest.
LEAST_16, ZEROS, STRAY = 20, 0.3, 0.05
NO_FILES = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}  # of names and programs' sources


def decoded(data: bytes, encoding: str | None, name: str) -> tuple[str, str]:
    """The text without a byte order mark, and the encoding that it was in.

    encoding: as the user names it; None to find out. Raises `DataError` for bytes that are no text, or none in this
    encoding, and `BadInput` for an encoding that Python does not know.
    """
    if encoding is not None:
        return _in(data, known(encoding), name, "give another one, or leave it out to have it found"), encoding
    marked = next((codec for mark, codec in MARKS.items() if data.startswith(mark)), None) or _unmarked_16(data)
    if marked:
        return _in(data, marked, name, f"give {ENCODING}"), marked.removesuffix("-sig")
    head = data[:LOOKED_AT]
    controls = _count(head, CONTROLS)
    if controls > BINARY * len(head) or b"\0" in head:
        raise DataError(
            f"{name} is not text ({many(controls, 'control character')} at its beginning): give a file of texts"
        )
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        _check_western(data, _line(data, error), name)
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def encoding_notes(encoding: str, named: str | None) -> list[str]:
    """A note on the encoding of a text, and whether it was guessed; none for UTF-8."""
    guessed = "" if encoding.startswith("utf") or named else f", a guess: give {ENCODING} if letters are wrong"
    return [] if encoding == "utf-8" else [f"read as {encoding}{guessed}"]


def unix_lines(text: str) -> str:
    """The text with line feeds in the place of CR LF, and of the CR of old Macs."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_western(data: bytes, line: int, name: str) -> None:
    """Raise `DataError` for bytes that are not UTF-8, and hardly a text of Western letters."""
    beyond, letters = _count(data, BEYOND_ASCII), _count(data, LETTERS)
    if beyond <= max(FEW, WESTERN * (letters + beyond)):
        return
    tried = "; ".join(f"{codec}: {text}" for codec, text in _as_others(data))
    raise DataError(
        f"{name}, line {line} is not UTF-8, and what it is cannot be told: give {ENCODING}"
        + (f", the one in which this reads well: {tried}" if tried else "")
    )


def _as_others(data: bytes) -> Iterator[tuple[str, str]]:
    """The encodings in which bytes are text, and how the first letters beyond ASCII read in them."""
    for codec in OTHERS:
        try:
            first = re.search(r"[^\x00-\x7f][^\x00-\x1f,;|]*", text := data.decode(codec))
        except UnicodeDecodeError:
            continue
        if first is None:
            continue
        beyond = [letter for letter in text[first.start() :][:LOOKED_AT] if letter > "\x7f"]
        if sum(map(str.isalpha, beyond)) > READABLE * len(beyond):
            yield codec, first[0][:SHOWN]


def known(encoding: str) -> str:
    """Python's name of a text encoding; `BadInput` for any other."""
    try:
        found = codecs.lookup(encoding)
    except (LookupError, ValueError):
        raise BadInput(
            f"Reading(encoding={encoding}) is unknown: give for example utf-8, cp1252, utf-16 or koi8-r"
        ) from None
    if not found._is_text_encoding or found.name in NO_FILES:
        raise BadInput(
            f"Reading(encoding={encoding}) is none of texts: give for example utf-8, cp1252, utf-16 or koi8-r"
        )
    return "utf-8-sig" if found.name == "utf-8" else found.name


def _in(data: bytes, codec: str, name: str, remedy: str) -> str:
    try:
        return data.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        where = f"{name}, line {_line(data, error)}: byte 0x{data[error.start]:02x}"
        raise DataError(f"{where} is not {codec.removesuffix('-sig')}: {remedy}") from None


def _line(data: bytes, error: UnicodeDecodeError) -> int:
    """The line, from 1, of the byte that could not be decoded."""
    return data.count(b"\n", 0, error.start) + 1


def _count(data: bytes, these: bytes) -> int:
    """How many of the bytes are among these."""
    return len(data) - len(data.translate(None, these))


def _unmarked_16(data: bytes) -> str | None:
    """UTF-16 without a mark, known by every other byte being 0, as it is of mostly Latin letters."""
    head = data[:LOOKED_AT]
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = len(head) / 2
    if len(head) < LEAST_16 or max(even, odd) < ZEROS * half or min(even, odd) > STRAY * half:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"
