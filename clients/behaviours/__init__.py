"""Behaviours of malicious clients, one kind a file; `BEHAVIOURS` names them, `infiltrate` puts them in place.

An honest client has no behaviour. None of the rules that would stop a malicious one are here: they are the
aggregator's (`aggregator/robust/`); the mean, which it takes without one, has no defence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from clients.behaviours.base import Behaviour, Crew, Honest
    from clients.behaviours.draw import Infiltrated, infiltrate

BEHAVIOURS = Registry(
    "behaviour",
    {
        "label-flip": ("clients.behaviours.flips:LabelFlip", "trains on class C - 1 - l for l (Fang et al. 2020)"),
        "sign-flip": ("clients.behaviours.flips:SignFlip", "sends its update times -scale"),
        "backdoor": (
            "clients.behaviours.backdoor:Backdoor",
            "spam with a trigger word is ham; model replacement (Bagdasaryan et al. 2020)",
        ),
        "alie": (
            "clients.behaviours.collusion:ALIE",
            "mean - z times the spread of the colluders (Baruch et al. 2019)",
        ),
        "min-max": (
            "clients.behaviours.nearness:MinMax",
            "as far as honest updates lie from one another (Shejwalkar et al. 2021)",
        ),
        "min-sum": ("clients.behaviours.nearness:MinSum", "the same by sums of distances"),
        "mimic": (
            "clients.behaviours.nearness:Mimic",
            "all send one honest update (Karimireddy et al. 2022)",
        ),
        "ipm": ("clients.behaviours.collusion:IPM", "-epsilon times the colluders' mean (Xie et al. 2020)"),
    },
    "clients.behaviours.base:Behaviour",
)

__all__ = ["BEHAVIOURS", "Behaviour", "Crew", "Honest", "Infiltrated", "infiltrate"]
__getattr__ = lazy(
    __name__,
    {"Behaviour": "base", "Crew": "base", "Honest": "base", "Infiltrated": "draw", "infiltrate": "draw"},
)
