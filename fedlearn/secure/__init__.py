"""Protections: what hides a client's update, one class with its halves a file; `PROTECTIONS` names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from fedlearn.secure.paillier import Paillier
    from fedlearn.secure.plain import Plain

PROTECTIONS = Registry(
    "protection",
    {
        "none": ("fedlearn.secure.plain:Plain", "the aggregator reads every update"),
        "paillier": (
            "fedlearn.secure.paillier:Paillier",
            "updates encrypted, only their sum opened by a key holder",
        ),
    },
)

__all__ = ["PROTECTIONS", "Paillier", "Plain"]
__getattr__ = lazy(__name__, {"Paillier": "paillier", "Plain": "plain"})
