"""Versions of installed packages. Our own may be missing, since the program also runs from its folder."""

from __future__ import annotations

from importlib import metadata


def installed_version(package: str) -> str | None:
    """The version of an installed distribution, as "2.1.0"; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
