"""Reading plays and other running text: plain files, Project Gutenberg's books, LEAF's JSON of Shakespeare."""

from __future__ import annotations

import re

from fedlearn.datasets.files import records
from fedlearn.datasets.files.encoding import decoded, encoding_notes, unix_lines
from fedlearn.datasets.files.opening import Source, opened
from fedlearn.datasets.files.reading import Reading
from fedlearn.datasets.letters import beginning
from fedlearn.datasets.text import Script
from fedlearn.errors import BadInput, DataError
from fedlearn.wording import many

# What Project Gutenberg puts around a book.
BEGIN = re.compile(
    r"^(?:\*\*\* ?START OF TH(?:E|IS) PROJECT GUTENBERG E.*?\*\*\*|\*END\*THE SMALL PRINT!.*?\*END\*)[^\n]*\n"
    r"(?:\s*(?:Produced|E-?text prepared) by (?:[^\n]+\n)+)?",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
LONGEST_NAME = 80  # characters, as many as `speakers.COLON` reads
NO_NAME = re.compile(r"[\s:\uff1a!?;\"\u201c\u201d\u00ab\u00bb]+")  # what a name before a colon has not
END = re.compile(
    r"^(?:\*\*\* ?)?END OF (?:TH(?:E|IS) )?PROJECT GUTENBERG(?:'S|\u2019S| E)", re.MULTILINE | re.IGNORECASE
)


def read_script(path: str, how: Reading | None = None) -> Script:
    """The text at `path`, whatever it is packed in; - is standard input; of `how`, the encoding matters.

    Raises `DataError` for what is no text, or is many.
    """
    how = how or Reading()
    if how != Reading(encoding=how.encoding):
        raise BadInput(f"{path} is read as one text: leave out what says how to read messages")
    return script_of(opened(path), how)


def script_of(source: Source, how: Reading) -> Script:
    """Same as `read_script`, for a source that is open already."""
    name = source.name
    if source.members is not None:
        raise DataError(
            f"{name} holds {many(len(source.members), 'file')}: give one text, for example all of them joined"
        )
    text, encoding = decoded(source.data, how.encoding, name)
    notes = encoding_notes(encoding, how.encoding)
    if records.is_json(text):
        text = _leaf_text(text, name)
        notes.append("LEAF's users as speakers")
    text, cut = without_gutenberg(unix_lines(text))
    notes += ["Project Gutenberg's head and tail left out"] if cut else []
    if not text.strip():
        raise DataError(f"{name} is empty: give a text of some thousand characters")
    return Script(name, text, source.sha256, f"file {name}", tuple(notes))


def without_gutenberg(text: str) -> tuple[str, bool]:
    """The book itself, and True where something was left out around it."""
    begin, end = BEGIN.search(text), END.search(text)
    start = begin.end() if begin else 0
    stop = end.start() if end and end.start() > start else len(text)
    book = text[start:stop]
    return (book.strip("\n") + "\n", True) if begin or end else (text, False)


def _leaf_text(text: str, name: str) -> str:
    """The speeches of each user of LEAF's shakespeare, as a play: x are windows of it, y the character after each."""
    value = records.json_in(text, name)
    if not records.is_leaf(value):
        raise DataError(f"{name} is JSON, and not LEAF's with users, x and y: give a text")
    spoken: dict[str, list[str]] = {}
    window = ""
    for user, x, y in records.leaf_examples(value, name):
        if not isinstance(x, str) or not isinstance(y, str):
            raise DataError(
                f"{name}: x and y of user {beginning(user, 40)!r} are no texts: give LEAF's shakespeare, or a text"
            )
        speech = spoken.setdefault(user, [])
        speech.append(y if speech and x == window else ("\n" if speech else "") + x + y)
        window = x[1:] + y
    people = (
        (beginning(NO_NAME.sub(" ", user).strip(), LONGEST_NAME), "".join(speech)) for user, speech in spoken.items()
    )
    return "\n\n".join(f"{user}:\n" + re.sub(r"\n\s*\n", "\n", speech).strip("\n") for user, speech in people) + "\n"
