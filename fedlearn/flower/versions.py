"""The releases of Flower that the bridge is for."""

from __future__ import annotations

import re

from fedlearn.errors import BadInput
from fedlearn.installed import installed_version

OLDEST, TOO_NEW = (1, 22), (2,)
INSTALL = "pip install 'flwr>=1.22,<2'"


def check_version() -> None:
    """Raise `BadInput` where Flower is not installed, or is a release that the bridge was not made for."""
    found = installed_version("flwr")
    if found is None:
        raise BadInput("the bridge to Flower needs it: pip install 'fedlearn[flower]'")
    check_known(found)


def check_known(found: str) -> None:
    """Raise `BadInput` for a release that is too old or unknown. found: as "1.42.0"."""
    numbers = tuple(map(int, re.findall(r"\d+", found)[:2]))
    if numbers < OLDEST:
        raise BadInput(f"flwr {found} is too old for this bridge: {INSTALL}")
    if numbers >= TOO_NEW:
        raise BadInput(f"flwr {found} is not known to this bridge, which was made for 1.22 and later 1.x: {INSTALL}")
