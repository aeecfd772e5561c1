"""Tables of calls, and what each is refused with: `>>> call`, and below it the error, or nothing where it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedlearn.errors import FedlearnError


def read(file: Path) -> list[tuple[str, str]]:
    """Each call of a table, and the text of its error, "" where it is taken."""
    entries = file.read_text(encoding="utf-8").split("\n>>> ")[1:]
    return [(call, text.strip()) for call, _, text in (entry.partition("\n") for entry in entries)]


def outcome(call: str, names: Mapping[str, Any]) -> str:
    """What comes of a call: its typed error in full, or "" where it is taken."""
    try:
        eval(call, dict(names))
    except FedlearnError as error:
        return f"{type(error).__name__}: {error}"
    return ""
