"""Which worker has which clients: client i has worker i modulo their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clients.client import Client, ClientSource, as_clients
from fedlearn.errors import BadInput
from fedlearn.protocol import read_plan
from fedlearn.travel import classes, packed


class Shares:
    """A pool's clients, shared out among `workers`, or among as many as there are clients."""

    def __init__(self, clients: ClientSource, workers: int):
        if workers < 1:
            raise BadInput(f"workers is {workers}, at least 1 is needed: raise it")
        self.clients = as_clients(clients)
        self.workers = max(1, min(workers, len(self.clients)))
        self.divisible = isinstance(self.clients, Sequence)

    def numbers(self, worker: int) -> range:
        return range(worker, len(self.clients), self.workers)

    def sent_to(self, worker: int) -> ClientSource | dict[int, Client]:
        """The clients that a worker is given: of a list its share, of another source the whole."""
        return {client: self.clients[client] for client in self.numbers(worker)} if self.divisible else self.clients

    def split(self, inboxes: Mapping[int, bytes]) -> dict[int, dict[int, bytes]]:
        """By worker, the inboxes of its clients."""
        shares: dict[int, dict[int, bytes]] = {}
        for client, inbox in inboxes.items():
            shares.setdefault(client % self.workers, {})[client] = inbox
        return shares


def packed_plan(plan: bytes) -> bytes:
    """A run plan for workers, with the classes that it names and that they cannot import."""
    agreed = read_plan(plan)
    return packed(plan, set(classes((agreed.model, agreed.strategy, agreed.protection, agreed.sampling))))
