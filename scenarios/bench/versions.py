"""The machine that a benchmark ran on, and the libraries that it found there."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from fedlearn.installed import installed_version


def machine(libraries: Iterable[str]) -> dict[str, str]:
    """The processor, Python's version, and those of the libraries that are installed, by distribution name."""
    return {"processor": platform.processor(), "python": platform.python_version(), **installed(libraries)}


def installed(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of those that are installed, by distribution name."""
    found = {library: installed_version(library) for library in libraries}
    return {library: number for library, number in found.items() if number}
