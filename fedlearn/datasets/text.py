"""Running text for character models: plays and other texts, with their speakers where they are named."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from fedlearn.datasets.dataset import CHARACTERS, FileSet, text_in
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput

BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
SPEAKER = re.compile(r"([^\n:]{1,80}):(?:[ \n]|$)")
DOTTED = re.compile(r"\s{0,4}([^\n.:]{2,40})\.(?:[ \n]|$)")
SHORTENED = re.compile(r"[A-Z][a-z]{1,9}")
# Heads, stage directions and lists of who plays, which are nobody's speech.
BESIDES = re.compile(r"\s*(?:[\[(_]|(?:act|scene|chapter|book|part|prologue|epilogue|dramatis|the end|finis)\b)", re.I)
SPOKEN = 0.5  # a text has speakers if at least this share of its blocks begins with a name


@dataclass(frozen=True)
class Script:
    """A text in full; blocks parted by blank lines may begin with a speaker's name.

    `sha256` is that of the bytes the text was read from and stays the same in both parts of `cut`. `notes` says what
    was guessed or left out while it was read.
    """

    name: str
    text: str
    sha256: str
    source: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.text)

    def cut(self, held_out: float = 0.1) -> tuple[Script, Script]:
        """(train, test) in the order of the text: the last `held_out` share of the characters is the test."""
        if not 0.0 < held_out < 1.0:
            raise BadInput(f"held-out share {held_out} is outside (0, 1): give for example 0.1")
        at = int(len(self.text) * (1.0 - held_out))
        return replace(self, text=self.text[:at]), replace(self, text=self.text[at:])

    def by_speaker(self) -> dict[str, str]:
        """What each speaker says, speeches joined by line ends, most talkative first; {} without speakers.

        Names stand before a colon, in capitals before a full stop, or in capitals on a line of their own. A block
        without a name goes on with the speech before it. People of one name are one speaker.
        """
        blocks = [block for block in BLANK_LINES.split(self.text) if block]
        for named in LAYOUTS:
            names = [named(block) for block in blocks]
            if sum(name is not None for name in names) >= max(1.0, SPOKEN * len(blocks)):
                return _gathered(blocks, names)
            blocks = [block for block in blocks if not BESIDES.match(block)]
        return {}


def _gathered(blocks: list[str], names: list[tuple[str, str] | None]) -> dict[str, str]:
    speeches: dict[str, list[str]] = {}
    speaker = None
    for block, name in zip(blocks, names, strict=True):
        if name:
            speaker, block = name
        if speaker is not None and block:
            speeches.setdefault(speaker, []).append(block)
    joined = {speaker: "\n".join(parts) for speaker, parts in speeches.items()}
    return dict(sorted(joined.items(), key=lambda item: (-len(item[1]), item[0])))


def _before_colon(block: str) -> tuple[str, str] | None:
    """`Name: speech`, or the name on a line of its own."""
    name = SPEAKER.match(block)
    return (name[1], block[name.end() :]) if name else None


def _before_dot(block: str) -> tuple[str, str] | None:
    """`NAME. speech`, or the name on a line of its own; `Ham. Speech` as in old prints."""
    name = DOTTED.match(block)
    return (name[1], block[name.end() :]) if name and (_is_capital(name[1]) or SHORTENED.fullmatch(name[1])) else None


def _above(block: str) -> tuple[str, str] | None:
    """`NAME` in capitals on a line of its own."""
    name, line_end, speech = block.partition("\n")
    return (name.strip(), speech) if line_end and len(name) <= 40 and _is_capital(name) else None


def _is_capital(name: str) -> bool:
    return name.isupper() and not any(map(str.isdecimal, name))


LAYOUTS = (_before_colon, _before_dot, _above)


class Alphabet:
    """A numbering of characters, in the order of their code points; it must come from PUBLIC text."""

    def __init__(self, text: str):
        """The distinct characters of `text`."""
        if not text:
            raise BadInput("alphabet of an empty text: give at least one character")
        self._codes = np.unique(_code_points(text))
        self.characters = "".join(map(chr, self._codes.tolist()))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> np.ndarray:
        """The number of each character, int64 of shape (len(text),); `BadInput` for an unknown one."""
        codes = _code_points(text)
        ids = np.searchsorted(self._codes, codes)
        unknown = self._codes[np.minimum(ids, len(self) - 1)] != codes
        if unknown.any():
            character = text[int(np.argmax(unknown))]
            raise BadInput(f"character {character!r} is not among the {len(self)} of the alphabet: remove it")
        return ids

    def decode(self, ids: np.ndarray) -> str:
        """The text of character numbers, any shape read in row order."""
        return "".join(self.characters[index] for index in np.ravel(ids).tolist())


def windows(text: str, alphabet: Alphabet, length: int) -> Arrays:
    """Consecutive pieces of `text` and, character by character, what comes next.

    Inputs and targets are int64 of shape (n, length), n = (len(text) - 1) // length; both are views of one
    array, and the characters that do not fill a last piece are left out.
    """
    if length < 1:
        raise BadInput(f"windows of {length} characters: give at least 1")
    ids = alphabet.encode(text)
    count = max(0, len(ids) - 1) // length
    used = count * length
    return Arrays(ids[:used].reshape(count, length), ids[1 : used + 1].reshape(count, length))


def parse_script(data: bytes, name: str, source: str) -> Script:
    """Read UTF-8 text; CR LF line ends become LF. Raises `DataError` if it is empty or not UTF-8."""
    text = text_in(data, name, "a text of some thousand characters").replace("\r\n", "\n")
    return Script(name, text, sha256(data).hexdigest(), source)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


SHAKESPEARE = FileSet(
    name="shakespeare",
    task=CHARACTERS,
    instead="use --data sample_play or a text of your own with --data FILE",
    records="1,115,394 characters",
    clients="299 speakers",
    licence="public domain",
    origin="40,000 lines of Shakespeare's plays, as put together for char-rnn by A. Karpathy, 2015",
    filename="tinyshakespeare.txt",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    parse=parse_script,
    url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
)

TRASK = FileSet(
    name="trask",
    task=CHARACTERS,
    instead="use --data sample_play or a text of your own with --data FILE",
    records="99,993 characters",
    clients="282 speakers",
    licence="none stated",
    origin="shakespear.txt of Grokking Deep Learning, ch. 14: not Shakespeare but the sample of a character RNN",
    filename="trask_shakespear.txt",
    sha256="c879e55c5e318b9d978064e246306e01d60be15a50f64d9438daeaeacbc119e8",
    parse=parse_script,
    url="https://raw.githubusercontent.com/iamtrask/Grokking-Deep-Learning/master/shakespear.txt",
)
