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
        "fedprox": ("fedlearn.strategies.fedprox:FedProx", "FedAvg with clients held near the global model by mu"),
        "fedavgm": ("fedlearn.strategies.fedavgm:FedAvgM", "FedAvg with momentum at the server"),
        "fedadam": ("fedlearn.strategies.fedopt:FedAdam", "Adam at the server (Reddi et al. 2021)"),
        "fedyogi": ("fedlearn.strategies.fedopt:FedYogi", "Yogi at the server (Reddi et al. 2021)"),
        "fedadagrad": ("fedlearn.strategies.fedopt:FedAdagrad", "Adagrad at the server (Reddi et al. 2021)"),
        "scaffold": (
            "fedlearn.strategies.scaffold:Scaffold",
            "control variates against client drift (Karimireddy et al. 2020); clients keep state",
        ),
        "fednova": ("fedlearn.strategies.fednova:FedNova", "deltas per local step, for clients of unequal size"),
    },
    "fedlearn.strategies.base:Strategy",
)

__all__ = ["STRATEGIES", "FedAvg", "LocalUpdate", "Strategy"]
__getattr__ = lazy(__name__, {"FedAvg": "fedavg", "LocalUpdate": "base", "Strategy": "base"})
