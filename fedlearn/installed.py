"""Versions of installed packages, ours too: a program may also run from its folder, without being installed."""

from __future__ import annotations

from importlib import metadata


def installed_version(package: str) -> str | None:
    """The version of an installed distribution, as "2.1.0"; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
