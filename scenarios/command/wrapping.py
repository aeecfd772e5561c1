"""Help texts in lines that fit the terminal: an option with the grammar of its value, and its help below."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator

NARROWEST, WIDEST = 30, 100
BREAK = "\0"  # before a blank that is there to break a line at, and nowhere else


def wrapped(text: str, first: str = "", later: str | None = None) -> list[str]:
    """Lines no wider than the terminal, but for words that are wider."""
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns))
    wrapper = textwrap.TextWrapper(
        width, initial_indent=first, subsequent_indent=first if later is None else later,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip
    return wrapper.wrap(text)


def entry(grammar: str, help: str) -> Iterator[str]:
    """The lines about one option; a grammar may be broken after | and a comma."""
    grammar = re.sub(r"(?<=[|,])(?=[^\s,|])", f"{BREAK} ", grammar)
    yield from (line.replace(f"{BREAK} ", "").replace(BREAK, "") for line in wrapped(grammar, "  ", "      "))
    yield from wrapped(" ".join(help.split()), "      ")
