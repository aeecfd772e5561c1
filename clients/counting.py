"""Answering a query: each client counts on its own examples, one by one. It stands beside local training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np

from clients.client import Client, ClientSource, log_name
from clients.encoded import Encoded
from clients.guarded import guarded
from clients.task import Task
from clients.training import LocalTraining
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import ClientId, Lost, RunPlan, TrainRequest
from fedlearn.queries.base import Query
from fedlearn.secure.counts import CountLayout
from fedlearn.secure.layout import Layout
from fedlearn.secure.layouts import layout_of_plan
from fedlearn.strategies.base import LocalUpdate
from fedlearn.travel import rebuilt
from fedlearn.wording import many


class Counting:
    """Has the clients of one plan count; the same face as `LocalTraining`."""

    def __init__(self, plan: RunPlan, clients: ClientSource | Mapping[int, Client]):
        self._clients = clients
        self._query = rebuilt(plan.strategy, Query)
        self.layout = layout_of_plan(plan)
        codec = FixedPoint.from_dict(plan.protection["arguments"]["codec"])
        if self.layout != CountLayout.of_counts(self._query.entries(), codec, Terms.read(plan.privacy)):
            raise ProtocolError(f"the plan's layout is not that of query {self._query.name}")

    def check(self, request: TrainRequest) -> None:
        """Raise `ProtocolError` for a request of another query than the plan's."""
        request.check(self._query.asks, {})

    def updates(self, numbers: Iterable[int], task: Task) -> Iterator[Encoded | Lost]:
        """Have these clients count; each of them is in one `Encoded` or one `Lost`."""
        for number in numbers:
            name = log_name(self._clients, number)
            yield guarded(number, name, task.round, partial(self._counted, number, task))

    def _counted(self, number: ClientId, task: Task) -> Encoded:
        client = self._clients[number]
        if client.behaviour is not None:
            raise BadInput("a malicious client's behaviour acts in training, and not on counts: ask honest clients")
        if len(client.data) > self._query.most:
            raise BadInput(
                f"it has {many(len(client.data), 'example')}, query {self._query.name} allows {self._query.most:,} of "
                f"one client: ask with most={len(client.data)} or more"
            )
        counts = self._query.count(client.data, task.weights)
        found = {name: np.asarray(values) for name, values in counts.items()}
        if found.keys() != self._query.entries().keys():
            raise BadInput(f"count gave {sorted(found)}, entries() announces {sorted(self._query.entries())}")
        lanes = np.atleast_2d(self.layout.encode(LocalUpdate(found, examples=1, loss=0.0)))
        self.layout.blur(lanes, task.round, [number])
        return Encoded([number], lanes)


class Work(Protocol):
    """The work that a plan gives clients. layout: of what each of them sends."""

    layout: Layout

    def check(self, request: TrainRequest) -> None:
        """Raise `BadInput` for a request that does not belong to the plan."""

    def updates(self, numbers: Iterable[int], task: Task) -> Iterator[Encoded | Lost]:
        """Have these clients do it; each is in one answer."""
        ...


@runtime_checkable
class OfTheirOwn(Protocol):
    """Clients whose work is not this project's, as a Flower app's: they say what they do under a plan."""

    def work(self, plan: RunPlan) -> Work: ...


def work_of(plan: RunPlan, clients: ClientSource | Mapping[int, Client] | OfTheirOwn) -> Work:
    """The work that a plan gives clients: without a model there is nothing to train."""
    if isinstance(clients, OfTheirOwn):
        return clients.work(plan)
    return LocalTraining(plan, clients) if plan.model else Counting(plan, clients)
