"""Optional packages: whether they work here."""

from __future__ import annotations

from functools import cache
from importlib import import_module


@cache
def numba_works() -> bool:
    """True where numba (extra `fast`) is installed, for the NumPy that is."""
    try:
        import_module("numba")
    except ImportError:
        return False
    return True
