"""Protections: what hides a client's update, one class with its halves a file; `PROTECTIONS` names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from fedlearn.secure.masks import Masks
    from fedlearn.secure.paillier import Paillier
    from fedlearn.secure.plain import Plain
    from fedlearn.secure.threshold import Threshold

PROTECTIONS = Registry(
    "protection",
    {
        "none": ("fedlearn.secure.plain:Plain", "the aggregator reads every update"),
        "paillier": (
            "fedlearn.secure.paillier:Paillier",
            "updates encrypted, only their sum opened by a key holder",
        ),
        "threshold": (
            "fedlearn.secure.threshold:Threshold",
            "threshold:T/N: as paillier, but T of N trustees open the sum, and nobody holds the key",
        ),
        "masks": (
            "fedlearn.secure.masks:Masks",
            "masks[:K], updates under masks that vanish in the sum, each shared with K neighbours",
        ),
    },
    "fedlearn.secure.base:Protection",
)

__all__ = ["PROTECTIONS", "Masks", "Paillier", "Plain", "Threshold"]
__getattr__ = lazy(__name__, {"Masks": "masks", "Paillier": "paillier", "Plain": "plain", "Threshold": "threshold"})
