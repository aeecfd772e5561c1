"""From a message to words, of every script and the same on every machine.

A text is folded first, as Unicode's NFKC_Casefold does (Unicode Standard, section 3.13): characters that show nothing
(zero-width ones, soft hyphens, variation selectors) go, full-width letters and ligatures become plain ones, and case
is folded. So letters that are dressed up to slip through a filter give the word that they show.

A token is then
* a word: letters with their combining marks, and apostrophes inside; `don't` is one word;
* a number, or one of the signs that tell spam: `2nd` gives `2`, `nd`;
* two neighbouring letters, marks included, of a script that puts no space between words (Chinese characters, kana,
  Thai, Lao, Khmer, Burmese and others). A run of such letters gives each pair in it, a single letter gives itself.
Everything else (white space, other punctuation, control characters, characters after Unicode 14.0) parts tokens.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from fedlearn.datasets import unicode14
from fedlearn.errors import BadInput

VERSION = 2  # of the rules above; another one gives other words

# ASCII texts, which most are, need no folding but that of case, and give by this what `_Rules` gives.
PLAIN = re.compile(r"[a-z]+(?:'[a-z]+)*|[0-9]+|[$%!]")
# Default_Ignorable_Code_Point, DerivedCoreProperties.txt.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
# Blocks of scripts that put no space between words.
UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF), (0x1B00, 0x1B7F),
    (0x3005, 0x3007), (0x3041, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA980, 0xA9FF),
    (0xAA60, 0xAADF), (0xF900, 0xFAFF), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFD),
)  # fmt: skip
ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def tokenize(text: str) -> list[str]:
    """The tokens of `text` in order, in folded case."""
    if not isinstance(text, str):
        raise BadInput(f"{text!r:.60} is a {type(text).__name__}, no text: decode bytes, leave out what is missing")
    if text.isascii():
        return PLAIN.findall(text.lower())
    rules = _rules(ASTRAL.search(text) is not None)
    text = fold(text)
    found = rules.token.findall(text)
    if rules.unspaced.search(text):
        found = [token for piece in found for token in rules.pairs(piece)]
    return found


def fold(text: str) -> str:
    """NFKC_Casefold of `text`, by the characters of Unicode 14.0; others become spaces."""
    if unicodedata.unidata_version != "14.0.0":
        text = _later_characters().sub(" ", text)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).casefold())


@dataclass(frozen=True)
class _Rules:
    """The patterns of one writing.

    token: any token, runs of unspaced letters whole. unspaced: one such letter with its marks.
    """

    token: re.Pattern[str]
    unspaced: re.Pattern[str]

    def pairs(self, piece: str) -> list[str]:
        if not self.unspaced.match(piece):
            return [piece]
        letters = self.unspaced.findall(piece)
        return [first + second for first, second in pairwise(letters)] or letters


@cache
def _rules(astral: bool) -> _Rules:
    """The patterns; astral: with characters beyond U+FFFF, which make them slower."""
    last = 0x10FFFF if astral else 0xFFFF
    table = unicode14.ranges()
    digit, mark = (_inside(table[kind], last) for kind in (unicode14.DIGIT, unicode14.MARK))
    spaced, unspaced = (_inside(part, last) for part in _divided(table[unicode14.LETTER]))
    word = f"[{spaced}][{spaced}{mark}]*"
    return _Rules(
        re.compile(f"{word}(?:['\u2019]{word})*|[{unspaced}][{unspaced}{mark}]*|[{digit}]+|[$£€¥%!]"),
        re.compile(f"[{unspaced}][{mark}]*"),
    )


def _divided(letters: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Letters of scripts with spaces between words, and of those without."""
    spaced, unspaced = [], []
    for first, last in letters:
        for low, high in UNSPACED:
            if high < first or last < low:
                continue
            if first < low:
                spaced.append((first, low - 1))
            unspaced.append((max(first, low), min(last, high)))
            first = high + 1
        if first <= last:
            spaced.append((first, last))
    return spaced, unspaced


def _inside(ranges: list[tuple[int, int]], last: int) -> str:
    """The ranges up to `last`, as they stand in a regular expression's brackets."""
    return "".join(f"\\U{a:08x}-\\U{min(b, last):08x}" for a, b in ranges if a <= last)


@cache
def _later_characters() -> re.Pattern[str]:
    return re.compile(f"[{_inside(unicode14.ranges()[unicode14.UNASSIGNED], 0x10FFFF)}]")
