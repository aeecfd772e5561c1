"""Which texts a story reads, and in which characters."""

from __future__ import annotations

from typing import Any

from fedlearn.datasets import DATASETS
from fedlearn.datasets.text import Alphabet, Script


def at_hand(name: str, built_in: str = "sample_play") -> str:
    """The data set `name` where its file was found, else a built-in one, which says aloud that it is synthetic."""
    return name if DATASETS.load(name).path().is_file() else built_in


def about(script: Script) -> dict[str, Any]:
    """The description of a text in run.json."""
    return {"name": script.name, "sha256": script.sha256, "synthetic": script.name == "sample_play"}


def readable(text: str, alphabet: Alphabet) -> str:
    """The text with a space in place of every character outside the alphabet, which must hold the space."""
    unknown = dict.fromkeys(map(ord, set(text) - set(alphabet.characters)), " ")
    return text.translate(unknown)
