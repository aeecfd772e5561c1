"""Federated algorithms, one class a file; `STRATEGIES` is where they are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from fedlearn.strategies.base import LocalUpdate, Strategy
    from fedlearn.strategies.fedavg import FedAvg

STRATEGIES = Registry(
    "strategy",
    {
        "fedavg": (
            "fedlearn.strategies.fedavg:FedAvg",
            "weighted mean of the clients' deltas (McMahan et al. 2017)",
        ),
    },
)

__all__ = ["STRATEGIES", "FedAvg", "LocalUpdate", "Strategy"]
__getattr__ = lazy(__name__, {"FedAvg": "fedavg", "LocalUpdate": "base", "Strategy": "base"})
