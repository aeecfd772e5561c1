"""Which libraries a benchmark found here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def installed(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of those that are installed, by distribution name."""
    found = {}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
