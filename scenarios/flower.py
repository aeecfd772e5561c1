"""The face to Flower, which needs both parties: `from scenarios.flower import run_direct, SecureSums, ...`.

A Flower app may well have a `clients.py` of its own, and then `import clients` finds that. So the names of both parties
are found when they are used, and where somebody else's package was found, the error says which file it is.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlearn.errors import BadInput
from fedlearn.flower.versions import check_version

if TYPE_CHECKING:
    from aggregator.flower import Opened, SecureSums
    from clients.flower import client_app, read_folder, read_run_config, run_direct, secure_mod
    from fedlearn.flower.flowerpool import FlowerPool

__all__ = [
    "FlowerPool", "Opened", "SecureSums", "client_app", "read_folder", "read_run_config", "run_direct", "secure_mod",
]  # fmt: skip

_homes = {
    **dict.fromkeys(("client_app", "read_folder", "read_run_config", "run_direct", "secure_mod"), "clients.flower"),
    **dict.fromkeys(("Opened", "SecureSums"), "aggregator.flower"),
    "FlowerPool": "fedlearn.flower.flowerpool",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_version()
    return getattr(_ours(_homes[name]), name)


def _ours(home: str) -> Any:
    """The module of this project by that name; raises `BadInput` where another package of that name comes first."""
    package = home.partition(".")[0]
    found = Path(getattr(import_module(package), "__file__", None) or ".").resolve()
    if found.parent != Path(__file__).resolve().parents[1] / package:
        raise BadInput(
            f"`import {package}` finds {found}, which is not fedlearn's: give that module another name, or put it "
            "into a package"
        )
    return import_module(home)
