"""Local training of many clients in one process: stacked, narrowed or one by one, and the same bits each way.

Whoever trains beside a client changes nothing in its update: it draws its own shuffles, and stacked clients are
computed side by side, never mixed. What is at fault with one client costs that client only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np

from clients.client import Client, ClientSource
from fedlearn import nn
from fedlearn.datasets.bags import Bags
from fedlearn.datasets.views import batch_shape, stack
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.logs import about
from fedlearn.models.base import Model
from fedlearn.models.flat import FlatModel, stack_size
from fedlearn.models.narrow import NarrowModel, Support
from fedlearn.protocol import Lost, RunPlan, party_name
from fedlearn.secure.layout import Layout
from fedlearn.seeding import ClientRandom, LocalRandom
from fedlearn.strategies import STRATEGIES
from fedlearn.strategies.base import LocalUpdate, Strategy

log = logging.getLogger(__name__)
T = TypeVar("T")

MADE_AT_ONCE = 256  # clients whose examples are held at a time
ENCODED_AT_ONCE = 1 << 15  # values, likewise


@dataclass(frozen=True, eq=False)
class Encoded:
    """Encoded updates of some clients, int64 (K, n); with a `support` one client's, of those lanes only (1, m)."""

    clients: Sequence[int]
    lanes: np.ndarray
    support: Support | None = None

    def add_to(self, total: np.ndarray) -> None:
        """Add all of them to `total`, int64 (n,), in place."""
        if self.support is None:
            total += self.lanes.sum(axis=0)
        else:
            self.support.add_to(total, self.lanes[0])

    def vectors(self, length: int) -> Iterator[tuple[int, np.ndarray]]:
        """Each client's whole vector, int64 (n,), of `length` lanes."""
        if self.support is None:
            yield from zip(self.clients, self.lanes, strict=True)
        else:
            whole = np.zeros(length, np.int64)
            self.add_to(whole)
            yield self.clients[0], whole


class LocalTraining:
    """Trains the clients of one plan: one model object, one stack and one narrowed model serve them all."""

    def __init__(self, plan: RunPlan, clients: ClientSource | Mapping[int, Client]):
        self._clients = clients
        self._seed = plan.seed
        model: Model = nn.build(plan.model).train()
        self._model = FlatModel(model)
        self._size = model.vector.size
        self._draws = any(hasattr(module, "rng") for module in model.modules())
        self._strategy: Strategy = STRATEGIES.load(plan.strategy["name"])(**plan.strategy["arguments"])
        self.layout = Layout.from_dict(plan.layout)
        self._block = max(1, ENCODED_AT_ONCE // self._size)
        self._stack_size = stack_size(model, plan.kernels["stack"])
        self._stack = self._model
        narrows = model.vocabulary is not None and self._strategy.leaves_untouched_weights
        self._narrow = NarrowModel(model) if narrows else None

    def check(self, weights: np.ndarray) -> None:
        """Raise `ProtocolError` for weights of another model than the plan's."""
        if weights.shape != (self._size,):
            raise ProtocolError(
                f"the request has {weights.size} weights, the plan's model {self._size}: "
                "the model must keep the parameters it had at the start of the run"
            )

    def updates(self, numbers: Iterable[int], round: int, weights: np.ndarray) -> Iterator[Encoded | Lost]:
        """Train these clients from the global weights (P,); each of them is in one `Encoded` or one `Lost`."""
        for some in _cut(numbers, MADE_AT_ONCE):
            groups: dict[object, dict[int, Client]] = {}
            for number in some:
                try:
                    shape, client = self._made(number)
                except Exception as error:
                    yield lost(number, party_name(number), round, error)
                else:
                    groups.setdefault(shape, {})[number] = client
            for shape, group in groups.items():
                stacked = isinstance(shape, tuple) and self._stack_size > 1
                yield from (self._side_by_side if stacked else self._one_by_one)(group, round, weights)

    def _made(self, number: int) -> tuple[object, Client]:
        """A client, after what it must have in common with others to be stacked, or else its number of examples."""
        client = self._clients[number]
        return batch_shape(client.data) or len(client.data), client

    def _side_by_side(self, group: dict[int, Client], round: int, weights: np.ndarray) -> Iterator[Encoded | Lost]:
        for some in _cut(group.items(), self._stack_size):
            part = dict(some)
            try:
                update = self._train_stack(part, round, weights)
            except Exception:  # the fault of one: alone, it will be named and the others are spared
                yield from self._one_by_one(part, round, weights)
            else:
                yield from self._encoded(part, round, update)

    def _train_stack(self, group: dict[int, Client], round: int, weights: np.ndarray) -> LocalUpdate:
        if self._stack.copies != len(group):
            self._stack = FlatModel(self._model.model, len(group))
        self._stack.load(weights)
        examples = stack([client.data for client in group.values()])
        return self._strategy.local_update(self._stack, examples, {}, LocalRandom(self._seed, round, list(group)))

    def _one_by_one(self, group: dict[int, Client], round: int, weights: np.ndarray) -> Iterator[Encoded | Lost]:
        """Clients with equally many examples."""
        draws = LocalRandom(self._seed, round, list(group))
        for some in _cut(zip(group.items(), draws, strict=True), self._block):
            trained: dict[int, Client] = {}
            updates: list[LocalUpdate] = []
            for (number, client), rng in some:
                done = guarded(number, client.name, round, partial(self._train, number, client, rng, weights))
                if isinstance(done, LocalUpdate):
                    trained[number] = client
                    updates.append(done)
                else:
                    yield done
            if updates:
                yield from self._encoded(trained, round, LocalUpdate.stacked(updates))

    def _train(self, number: int, client: Client, rng: ClientRandom, weights: np.ndarray) -> LocalUpdate | Encoded:
        if self._narrow is not None and isinstance(client.data, Bags):
            return self._train_narrow(self._narrow, number, client.data, rng, weights)
        self._model.load(weights)
        if self._draws:
            self._model.model.use_rng(rng.generator)
        return self._strategy.local_update(self._model, client.data, {}, rng)

    def _train_narrow(
        self, narrow: NarrowModel, number: int, data: Bags, rng: ClientRandom, weights: np.ndarray
    ) -> Encoded:
        renumbered, support = narrow.narrow(weights, data)
        update = self._strategy.local_update(narrow, renumbered, {}, rng)
        layout = self.layout.narrowed(update.vectors["delta"].size)
        return Encoded([number], layout.encode(update)[None], support)

    def _encoded(self, group: dict[int, Client], round: int, update: LocalUpdate) -> Iterator[Encoded | Lost]:
        """The updates of a group, encoded some at a time: those of all of them fill the cache several times over."""
        for start in range(0, len(group), self._block):
            rows = slice(start, start + self._block)
            some = list(group)[rows]
            try:
                lanes = self.layout.encode(update.among(rows))
            except Exception:  # the fault of one, as above
                for row, number in enumerate(some, start):
                    one = update.among(slice(row, row + 1))
                    yield guarded(number, group[number].name, round, partial(self._encoded_one, number, one))
            else:
                yield Encoded(some, lanes)

    def _encoded_one(self, number: int, update: LocalUpdate) -> Encoded:
        return Encoded([number], self.layout.encode(update))


def guarded(client: int, name: str, round: int, work: Callable[[], T]) -> T | Lost:
    """What one client's work gives, or why it is lost: its own fault is logged where it happens."""
    with about(name, round):
        try:
            return work()
        except Exception as error:
            return lost(client, name, round, error)


def lost(client: int, name: str, round: int, error: Exception) -> Lost:
    """Log an error under the client's name: one line for bad input, a traceback for anything else."""
    with about(name, round):
        if isinstance(error, BadInput):
            log.error("%s", error)
            return Lost(client, str(error), refused=True)
        log.error("client failed in round %d", round, exc_info=error)
        return Lost(client, f"{type(error).__name__}: {error}")


def _cut(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """At most `size` of them at a time."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
