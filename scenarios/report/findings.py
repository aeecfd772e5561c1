"""Findings of attacks on a run, kept beside it for the report: a line a finding, with no more than its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlearn.attacks.base import Finding
from fedlearn.disk import strict_json, write_atomic
from fedlearn.errors import DataError
from fedlearn.untrusted import content, from_json

NAME = "attacks.jsonl"


def keep(folder: Path, attack: str, found: Sequence[Finding]) -> None:
    """Write down what an attack, as it was typed, found in a run, in the place of what it found before."""
    others = [row for row in kept(folder) if row["attack"] != attack]
    rows = [{"attack": attack, "about": f.about, "round": f.round, "summary": f.summary()} for f in found]
    lines = [strict_json(row) + "\n" for row in [*others, *rows]]
    write_atomic(folder / NAME, "".join(lines).encode())


def kept(folder: Path) -> list[Mapping[str, Any]]:
    """All that was kept, but nothing through a link; raises `DataError` for a file that is damaged."""
    file = folder / NAME
    try:
        there = file.is_file() and not file.is_symlink()
        rows = [from_json(line) for line in content(file).decode().splitlines()] if there else []
        if not all(isinstance(row[name], str) for row in rows for name in ("attack", "about", "summary")):
            raise TypeError
        return rows
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{file} cannot be read: delete it, and attack the run again") from None
