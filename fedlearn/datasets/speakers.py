"""Who says what in a play: names before a colon, before a full stop, or on a line of their own.

Speeches are parted by blank lines, or begin on any line. Nothing says which layout a text has; of those that fit, the
one that finds the most speeches is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedlearn.checked import takes_plain

BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
DASHES = r"\u2013\u2014-"
# What may stand between a name and its sign: how it is said, in brackets.
DIRECTION = r"(?:[ \t]*(?:\([^()\n]{0,200}\)|\[[^\[\]\n]{0,200}\]))?"
COLON = re.compile(
    rf"[ \t]{{0,8}}([^\n:\uff1a]{{1,80}}?){DIRECTION}[ \u00a0\u202f]{{0,2}}(?::(?:[ \t]+|\n|$)|\uff1a[ \t]*\n?)"
)
EMPHASISED = re.compile(
    rf"[ \t]{{0,4}}([*_]{{1,3}})(?=[^\s*_])([^\n:*_(\[]{{1,40}}?){DIRECTION}(?:[.:]\1|\1[.:])[ \t{DASHES}]*\n?"
)
DOT = re.compile(
    rf"[ \t]{{0,8}}([^\n.:\[(]{{2,40}}?){DIRECTION}(?:\.(?=[\s{DASHES}]|$)|[ \t](?=[\u2013\u2014][ \t]))"
    rf"[ \t{DASHES}]*\n?"
)
WORDS, LONGEST = 5, 40  # words, and characters, of a name within a block
ALONE = re.compile(rf"(.{{1,{LONGEST}}}?){DIRECTION}")
BRACKET = re.compile(r"[ \t]{0,8}([^\n.:\[(]{2,40}?)[ \t]+(?=[\[(])")
# Heads, stage directions and lists of who plays, which are nobody's speech.
HEAD = (
    r"\s*(?:(?i:acte?|akt|atto|acto|scene|sc\u00e8ne|szene|scena|escena|chapter|book|part)\s+"
    r"(?:[IVXLC]+\b|\d|THE\b|(?i:first|second|third|fourth|fifth|one|two|three|four|five)\b)"
    r"|(?i:prologue|epilogue|dramatis person\w+|the end|finis)\b)"
)
# Of blocks and lines without a name.
BESIDE_BLOCKS = re.compile(rf"{HEAD}|\s*[\[(_]")
BESIDE_LINES = re.compile(rf"{HEAD}|\s*(?:\[.*\]|\(.*\)|_.*_)\s*$")
NUMERAL = re.compile(r"[IVXLC]+")
SENTENCE_END = re.compile(r"(?<=\w{4})\.\s|[!?;](?:\s|$)|[\"\u201c\u201d\u00ab\u00bb]")
TITLES = {"Mr", "Mrs", "Ms", "Dr", "St", "Mme", "Messrs"}
PARTICLES = {*"a an and de del der di du et in la le of the to und van von y".split()}  # noqa: SIM905
SPOKEN = 0.5  # a text has speakers if at least this share of its blocks, or lines, begins with a name
TIMES, SOME, AT_LEAST = 3, 0.1, 6  # or this share, and so many, where each name is there three times on average
LINES_COUNT = 2 / 3  # of a block: a layout of lines must find half as many speeches more, since verse has colons too
FEW = 4  # speeches, of which each may be another person's; of more lines that begin with a name, half repeat one
SHORTENED_WORDS, SHORTENED = 2, 20  # words, and characters, of a shortened name

Head = tuple[str, str]  # a name, and what follows it


@takes_plain
def speeches(text: str) -> dict[str, str]:
    """The speeches of each speaker, joined by line ends, most talkative first; {} for a text without speakers."""
    blocks = [block for block in BLANK_LINES.split(text) if block]
    lines = [line for line in text.split("\n") if line.strip()]
    layouts = [layout for named in NAMED for layout in (_of_blocks(blocks, named), _of_lines(lines, named))]
    return max(layouts, key=lambda layout: layout.worth).gathered()


@dataclass(frozen=True)
class _Layout:
    """A text in units, blocks or lines, and the head of each that has one. worth: speeches found; 0 for no fit."""

    units: Sequence[tuple[str, Head | None]]
    worth: float

    def gathered(self) -> dict[str, str]:
        parts: dict[str, list[str]] = {}
        speaker = None
        for unit, head in self.units if self.worth else ():
            if head:
                speaker, unit = head
            if speaker is not None and unit:
                parts.setdefault(speaker, []).append(unit)
        joined = {speaker: "\n".join(units) for speaker, units in parts.items()}
        return dict(sorted(joined.items(), key=lambda item: (-len(item[1]), item[0])))


def _heads(units: Sequence[str], named: Callable[[str], Head | None]) -> list[Head | None]:
    """The head of each unit; the blanks that French puts before a colon are no part of a name."""
    found = (named(unit) for unit in units)
    return [(head[0].strip(), head[1]) if head and head[0].strip() else None for head in found]


def _of_blocks(blocks: Sequence[str], named: Callable[[str], Head | None]) -> _Layout:
    heads = _heads(blocks, named)
    found = [(block, head) for block, head in zip(blocks, heads, strict=True) if head or not BESIDE_BLOCKS.match(block)]
    names = [head[0] for _, head in found if head]
    fits = len(names) >= max(1.0, SPOKEN * len(found)) or _recur(names, len(found))
    return _Layout(found, len(names) if fits else 0.0)


def _of_lines(lines: Sequence[str], named: Callable[[str], Head | None]) -> _Layout:
    heads = [head if head and _is_name(head[0]) else None for head in _heads(lines, named)]
    found = [(line, head) for line, head in zip(lines, heads, strict=True) if head or not BESIDE_LINES.match(line)]
    names = [head[0] for _, head in found if head]
    mostly = len(names) >= max(2.0, SPOKEN * len(found)) and (len(names) <= FEW or 2 * len(set(names)) <= len(names))
    return _Layout(found, LINES_COUNT * len(names) if mostly or _recur(names, len(found)) else 0.0)


def _recur(names: Sequence[str], units: int) -> bool:
    """True where the same few names come again and again, which tells them from the beginnings of sentences."""
    return len(names) >= max(AT_LEAST, SOME * units) and TIMES * len(set(names)) <= len(names)


def _before_colon(unit: str) -> Head | None:
    """`Name: speech`, or the name on a line of its own."""
    name = COLON.match(unit)
    if not name or SENTENCE_END.search(name[1]):
        return None
    alone = name[0].endswith("\n") or name.end() == len(unit)
    return (name[1], unit[name.end() :]) if alone or _is_name(name[1]) else None


def _emphasised(unit: str) -> Head | None:
    """`_Name._ speech`, `**NAME:** speech`, `_Name (aside)._` on a line of its own."""
    name = EMPHASISED.match(unit)
    return (name[2], unit[name.end() :]) if name and _is_name(name[2]) else None


def _before_dot(unit: str) -> Head | None:
    """`NAME. speech`, or the name on a line of its own; `Ham. Speech` as in old prints; `NAME [aside] speech`."""
    name = DOT.match(unit)
    if name:
        follows = not name[0].endswith("\n") and name.end() < len(unit)
        if _is_capital(name[1]) or (follows and _is_shortened(name[1])):
            return name[1], unit[name.end() :]
        if _is_capital(name[1].partition(", ")[0]):  # ORGON, à part.
            return name[1].partition(", ")[0], unit[name.end() :]
    name = BRACKET.match(unit)
    return (name[1], unit[name.end() :]) if name and _is_capital(name[1]) else None


def _alone(unit: str) -> Head | None:
    """`NAME` in capitals on a line of its own."""
    line, _, speech = unit.partition("\n")
    name = ALONE.fullmatch(line.strip())
    return (name[1], speech) if name and name[1][-1].isalpha() and _is_capital(name[1]) else None


NAMED = (_emphasised, _before_colon, _before_dot, _alone)


def _is_capital(name: str) -> bool:
    return name.isupper() and not (NUMERAL.fullmatch(name) or re.match(HEAD, name) or re.search(r"\d", name))


def _is_shortened(name: str) -> bool:
    """`Ham`, `First Lord`: of what stands before a full stop, the beginning of hardly any sentence."""
    return name.istitle() and len(name.split()) <= SHORTENED_WORDS and len(name) <= SHORTENED and name not in TITLES


def _is_name(name: str) -> bool:
    """True where it is a name, and not half a sentence: of several words, all but particles have capitals."""
    words = name.split()
    capitals = len(words) == 1 or not any(word[0].islower() for word in words if word not in PARTICLES)
    return capitals and len(words) <= WORDS and len(name) <= LONGEST
