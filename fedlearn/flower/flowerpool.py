"""`FlowerPool`: our own clients at a Flower federation's nodes, for `Aggregator(...).fit(FlowerPool(...), rounds)`.

Each node runs a ClientApp that `client_app` makes, and announces its number itself: node ids are Flower's and random,
and which client has which data decides the model.
"""

from __future__ import annotations

import time

from flwr.serverapp import Grid

from fedlearn.configured import real_number, whole_number
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.flower.gridpool import GridPool
from fedlearn.flower.letters import QUERY, Letter
from fedlearn.protocol import Reply, client_name
from fedlearn.wording import many

LOOK = 0.5  # seconds between two looks for nodes


class FlowerPool(GridPool):
    """The first `clients` clients, each at a node that says which of them it has.

    deadline: seconds in which they must be there, and in which each answer must come. A node that gives no answer is a
    lost client. Strategies whose clients keep state between rounds, as SCAFFOLD's, are refused.
    """

    def __init__(self, grid: Grid, clients: int, deadline: float = 600.0):
        self._clients = whole_number("clients", clients, least=1)
        super().__init__(grid, {}, QUERY, real_number("deadline", deadline, above=0, usual="600 is usual"))

    def __len__(self) -> int:
        return self._clients

    def open(self) -> None:
        """Find the nodes of all clients; raises `BadInput` that names those which did not come in time."""
        until = time.monotonic() + (self._deadline or 0.0)
        self._nodes = {}
        asked: set[int] = set()
        while True:
            fresh = [node for node in self._grid.get_node_ids() if node not in asked]
            asked.update(fresh)
            self._greet(fresh)
            missing = [client for client in range(self._clients) if client not in self._nodes]
            if not missing:
                self.enrolled = frozenset(self._nodes)
                return
            if time.monotonic() >= until or (not fresh and len(asked) >= self._clients):
                raise BadInput(
                    f"{len(missing):,} of {many(self._clients, 'client has', 'clients have')} no node, the first is "
                    f"{client_name(missing[0])}: start nodes with these partition-ids, and with client_app(...) of "
                    "scenarios.flower as their ClientApp"
                )
            time.sleep(LOOK)

    def _greet(self, nodes: list[int]) -> None:
        """Ask nodes which clients they have. A number that two nodes say ends the run."""
        greeted = GridPool(self._grid, dict(enumerate(nodes)), QUERY, self._deadline)
        for answer in greeted._answers({i: Letter(Letter.HELLO, client=i) for i in range(len(nodes))}, {}):
            if not isinstance(answer, Reply):
                continue
            node, number = nodes[answer.client], int.from_bytes(answer.data[:8], "big")
            if number in self._nodes:
                raise FedlearnError(
                    f"two nodes say that they have {client_name(number)}: give each a partition-id of its own"
                )
            if number < self._clients:
                self._nodes[number] = node
