"""Flower on the clients' side: any Flower app run in this process. Users import it from `scenarios.flower`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy

if TYPE_CHECKING:
    from clients.flower.app import client_app
    from clients.flower.direct import run_direct
    from clients.flower.folder import read_folder, read_run_config
    from clients.flower.secure import secure_mod

__all__ = ["client_app", "read_folder", "read_run_config", "run_direct", "secure_mod"]
__getattr__ = lazy(
    __name__,
    {
        "client_app": "app",
        "read_folder": "folder",
        "read_run_config": "folder",
        "run_direct": "direct",
        "secure_mod": "secure",
    },
)
