"""Running text for character models: plays and other texts, with their speakers where they are named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from fedlearn.checked import takes_plain, whole_array
from fedlearn.configured import real_number, whole_number
from fedlearn.datasets.dataset import CHARACTERS, FileSet, text_in
from fedlearn.datasets.examples import Arrays
from fedlearn.datasets.letters import seam
from fedlearn.datasets.speakers import speeches
from fedlearn.errors import BadInput
from fedlearn.wording import many

LONGEST = 10**9  # characters of a window


@dataclass(frozen=True)
class Script:
    """A text in full; its speeches may begin with a speaker's name.

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

    def __repr__(self) -> str:
        return f"<Script {self.name}: {many(len(self), 'character')}>"

    def cut(self, held_out: float = 0.1) -> tuple[Script, Script]:
        """(train, test) in the order of the text: the last `held_out` share of the characters is the test.

        A letter of several characters, with its marks or joined from others, is not parted: it is in the test.
        """
        held_out = real_number("held-out share", held_out, above=0.0, below=1.0, usual="give for example 0.1")
        at = seam(self.text, int(len(self.text) * (1.0 - held_out)))
        return replace(self, text=self.text[:at]), replace(self, text=self.text[at:])

    def by_speaker(self) -> dict[str, str]:
        """The speeches of each speaker, joined by line ends, most talkative first; {} without speakers.

        Names stand before a colon, before a full stop, or on a line of their own (`fedlearn.datasets.speakers`). What
        begins without a name goes on with the speech before it. People of one name are one speaker.
        """
        return speeches(self.text)


class Alphabet:
    """A numbering of characters, in the order of their code points; it must come from PUBLIC text."""

    @takes_plain
    def __init__(self, text: str):
        """The distinct characters of `text`."""
        if not text:
            raise BadInput("alphabet of an empty text: give at least one character")
        self._codes = np.unique(_code_points(text))
        self.characters = "".join(map(chr, self._codes.tolist()))

    def __len__(self) -> int:
        return len(self.characters)

    @takes_plain
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
        return "".join(self.characters[index] for index in whole_array("ids", ids, below=len(self)).ravel().tolist())


@takes_plain
def windows(text: str, alphabet: Alphabet, length: int) -> Arrays:
    """Consecutive pieces of `text` and, character by character, what comes next.

    Inputs and targets are int64 of shape (n, length), n = (len(text) - 1) // length; both are views of one
    array, and the characters that do not fill a last piece are left out.
    """
    length = whole_number("characters of a window", length, least=1, most=LONGEST)
    ids = alphabet.encode(text)
    count = max(0, len(ids) - 1) // length
    used = count * length
    return Arrays(ids[:used].reshape(count, length), ids[1 : used + 1].reshape(count, length))


@takes_plain
def parse_script(data: bytes, name: str, source: str) -> Script:
    """Read UTF-8 text; CR LF line ends become LF. Raises `DataError` if it is empty or not UTF-8."""
    text = text_in(data, name, "a text of some thousand characters").replace("\r\n", "\n")
    return Script(name, text, sha256(data).hexdigest(), source)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


SHAKESPEARE = FileSet(
    name="shakespeare",
    task=CHARACTERS,
    instead="take the data set sample_play, or a text of your own",
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
    instead="take the data set sample_play, or a text of your own",
    records="99,993 characters",
    clients="282 speakers",
    licence="none stated",
    origin="shakespear.txt of Grokking Deep Learning, ch. 14: not Shakespeare but the sample of a character RNN",
    filename="trask_shakespear.txt",
    sha256="c879e55c5e318b9d978064e246306e01d60be15a50f64d9438daeaeacbc119e8",
    parse=parse_script,
    url="https://raw.githubusercontent.com/iamtrask/Grokking-Deep-Learning/master/shakespear.txt",
)
