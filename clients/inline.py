"""All clients in the aggregator's own process, one after the other: parties are separated by messages only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from threadpoolctl import threadpool_limits

from clients.client import Client, LocalSession
from fedlearn.logs import mark_records
from fedlearn.protocol import Lost, Reply, Step


class InlinePool:
    """The simplest pool, and for small models the fastest. One BLAS thread, as in every pool."""

    def __init__(self, clients: Sequence[Client]):
        self._clients = clients
        self._blas: threadpool_limits | None = None

    def __len__(self) -> int:
        return len(self._clients)

    def names(self) -> dict[int, str]:
        return {number: client.name for number, client in enumerate(self._clients)}

    def open(self) -> None:
        mark_records()
        self._blas = threadpool_limits(1)
        self._session = LocalSession(dict(enumerate(self._clients)))

    def enrol(self, session: bytes) -> list[bytes]:
        return self._session.enrol(session)

    def start(self, plan: bytes) -> None:
        self._session.join(plan)

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Reply | Lost]:
        for client, inbox in inboxes.items():
            yield self._session.run(client, step, broadcast, inbox)

    def close(self) -> None:
        if self._blas is not None:
            self._blas.restore_original_limits()
