"""A Ray cluster as a pool meets it: its address, this process's connection, its nodes and how its errors read."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterable, Mapping
from tempfile import TemporaryDirectory
from typing import Any

from fedlearn.errors import BadInput, FedlearnError

PATIENCE = 10.0  # seconds that an address is given to answer
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # with empty SETTINGS


class Connection:
    """This process as a driver of Ray, which keeps its own words off the terminal."""

    def __init__(self, address: str | None, processors: int):
        import ray

        self._ours = not ray.is_initialized()
        if not self._ours:
            if address is not None:
                raise BadInput(f"this program is connected to Ray already: leave the address {address} out")
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # The names of Ray's sockets leave no room for a long path.
        self._home = TemporaryDirectory(prefix="ray-", dir="/tmp" if os.name == "posix" else None)
        self._print(False)
        before = signal.getsignal(signal.SIGTERM)
        local = {"address": "local", "num_cpus": processors, "include_dashboard": False, "_temp_dir": self._home.name}
        try:
            ray.init(
                **({"address": address} if address else local), log_to_driver=False, logging_level=logging.CRITICAL
            )
        except (OSError, RuntimeError, ValueError) as error:
            self.close([])
            if address is None:
                raise FedlearnError(f"Ray does not start here: {how(error)}") from None
            raise BadInput(
                f"the Ray cluster at {address} does not take this process: {how(error)}; this machine must be one of "
                f"its nodes (`ray start --address={address}`) with the same versions of Ray and Python"
            ) from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray has put its own there

    def close(self, actors: Iterable[Any]) -> None:
        """End these actors, and Ray if it was started for them."""
        import ray

        for actor in actors:
            ray.kill(actor)
        if self._ours:
            ray.shutdown()
            self._print(True)
            self._home.cleanup()

    def _print(self, enabled: bool) -> None:
        """Of a lost node Ray prints pages on standard output, which no option of `ray.init` turns off."""
        from ray._private import worker

        worker._worker_logs_enabled = enabled


def on_node(kind: type, node: str, soft: bool) -> Any:
    """`kind` as an actor on a node; soft: or on another one, if that is gone. It waits for no processor to be free."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    where = NodeAffinitySchedulingStrategy(node, soft)
    return ray.remote(num_cpus=0, scheduling_strategy=where)(kind)


def live_nodes() -> dict[str, float]:
    """Each live node's processors, as far as Ray knows."""
    import ray

    return {node["NodeID"]: node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]}


def least_taken(taken: Mapping[str, int], but: str | None) -> str:
    """The live node with the fewest workers for its processors; `but` only if there is no other."""
    nodes = live_nodes()
    nodes = {node: processors for node, processors in nodes.items() if processors} or dict.fromkeys(nodes, 1)
    others = [node for node in nodes if node != but] or list(nodes)
    return min(others, key=lambda node: (taken.get(node, 0) + 1) / nodes[node])


def check_address(address: str) -> None:
    """Raise `BadInput` unless something that can be a Ray head answers at HOST:PORT; Ray itself tries for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise BadInput(f"Ray address {address!r} is not HOST:PORT, as 10.0.0.1:6379: give that of the head node")
    try:
        with socket.create_connection((host, int(port)), PATIENCE) as probe:
            probe.settimeout(PATIENCE)
            probe.sendall(HTTP2_HELLO)
            speaks = probe.recv(9)[3:4] == b"\4"  # SETTINGS, the first frame of every server of gRPC
    except (OSError, OverflowError) as error:
        raise BadInput(f"no Ray cluster answers at {address}: {error}; start one with `ray start --head`") from None
    if not speaks:
        raise BadInput(f"what answers at {address} is no Ray cluster: give the address that `ray start --head` prints")


def how(error: Exception) -> str:
    """How something of Ray's ended: the first sentence of its last paragraph."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1].strip().split('. ')[0]}"
