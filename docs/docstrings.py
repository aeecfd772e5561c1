"""For the reference: arguments and fields, which docstrings say each on a line, become lists; the rest stays as it is.

Such a line begins with names and a colon, or with a name and two spaces or more.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

NAME = r"[a-z_*][\w*]*"
FACT = re.compile(rf"(?P<names>{NAME}(?:, {NAME})*)(?::| {{2,}})\s*(?P<text>\S.*)")


def with_lists(text: str) -> str:
    """Markdown of a docstring."""
    return "\n\n".join(map(_paragraph, text.split("\n\n")))


def _paragraph(text: str) -> str:
    lines, found = text.splitlines(), False
    for number, line in enumerate(lines):
        fact = FACT.fullmatch(line) if found or number == 0 else None
        if fact:
            names = ", ".join(f"`{name}`" for name in fact["names"].split(", "))
            lines[number] = f"* {names}: {fact['text']}"
            found = True
        elif found:
            lines[number] = f"    {line.strip()}"
    return "\n".join(lines)


class Lists(griffe.Extension):
    """Goes over all objects once a package was read."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = with_lists(obj.docstring.value)
