"""The optional part: what needs the `cryptography` package is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fedlearn.errors import BadInput


def cryptography(module: str) -> Any:
    """`cryptography.hazmat.primitives.<module>`; raises `BadInput` saying what to install if it is missing."""
    try:
        return import_module(f"cryptography.hazmat.primitives.{module}")
    except ImportError as error:
        raise BadInput(f"this needs the cryptography package ({error}): pip install 'fedlearn[secure]'") from None
