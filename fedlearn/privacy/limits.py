"""Limits: noise and delta may not be under them, and no argument may be of another kind than its annotation says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fedlearn.configured import make_plain
from fedlearn.errors import BadInput, PrivacyError

SMALLEST_DELTA = 1e-9  # below it the rounding errors of a Fourier transform would count
SMALLEST_NOISE = 0.001  # what is below costs an epsilon of half a million a release


@contextmanager
def privacy_errors() -> Iterator[None]:
    """Within it, and in what it decorates, an argument of another kind is a `PrivacyError` too."""
    try:
        yield
    except BadInput as error:
        if type(error) is not BadInput:
            raise
        raise PrivacyError(str(error)) from None


@privacy_errors()
def check_plain(thing: Any) -> None:
    """As `make_plain`, raising `PrivacyError`."""
    make_plain(thing)
