"""The client side at work: `Client`, and pools that run many of them; `POOLS` names the pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from clients.client import Client, ClientSource
    from clients.inline import InlinePool
    from clients.policy import Policy
    from clients.processes import ProcessPool
    from clients.ray import RayPool

POOLS = Registry(
    "pool",
    {
        "inline": ("clients.inline:InlinePool", "every client in this process"),
        "processes": ("clients.processes:ProcessPool", "clients spread over spawned worker processes"),
        "ray": ("clients.ray:RayPool", "clients spread over Ray actors, here or on a cluster (extra ray)"),
    },
)

__all__ = ["POOLS", "Client", "ClientSource", "InlinePool", "Policy", "ProcessPool", "RayPool"]
__getattr__ = lazy(
    __name__,
    {
        "Client": "client",
        "ClientSource": "client",
        "InlinePool": "inline",
        "Policy": "policy",
        "ProcessPool": "processes",
        "RayPool": "ray",
    },
)
