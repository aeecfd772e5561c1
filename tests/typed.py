"""Pages as a reader types them: their commands, which tests run with small keys and in folders of their own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.scenarios.command import fedlearn

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
STORY = re.compile(r"fedlearn run (leak|poison|dp|book|robust)_")  # seconds each; their own tests make them smaller
SMALL = ["--key-bits", "512", "--insecure-test-key"]


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in one language, "" for commands; what is only shown is marked as text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [found for kind, found in BLOCK.findall(text) if kind == language]


def commands(page: str) -> list[str]:
    """The lines that call the command, without their remarks."""
    lines = [line.removeprefix("$ ") for line in "".join(blocks(page, "")).splitlines()]
    return [line.split(" #")[0].split("  ")[0].rstrip() for line in lines if line.startswith("fedlearn ")]


def typed(line: str, *more: str) -> int:
    """The exit status of a line."""
    return fedlearn(*shlex.split(line)[1:], *more)


def small(line: str) -> list[str]:
    """Options that make a run of this line quick: small keys where it has any, no pictures."""
    if not line.startswith(("fedlearn run", "fedlearn sweep")) or "--help" in line:
        return []
    encrypts = "--protection" not in line or "paillier" in line or "threshold" in line
    keys = SMALL if encrypts and " spam" in line and "--resume" not in line else []
    return [*keys, *([] if "sweep" in line or "--quiet" in line else ["--quiet"])]
