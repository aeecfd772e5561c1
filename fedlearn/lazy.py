"""Public names of a package that are imported when first used, so that importing the package stays cheap."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(package: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """A module-level `__getattr__` for `package`: name -> the submodule it lives in.

    `dir(package)`, and so completion by <Tab>, shows these names too.
    """
    face = sys.modules[package]
    face.__dict__["__dir__"] = lambda: sorted({*vars(face), *homes})

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return __getattr__
