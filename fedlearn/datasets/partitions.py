"""Making clients out of a data set: who holds which examples.

A partition deals every example to exactly one client and leaves no client without any. `split` takes the
class of each example (`labels`, shape (n,)), the user of each where known, the number of clients and a
generator, and returns one ascending int64 index array a client.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

import numpy as np

from fedlearn.checked import REAL, as_array
from fedlearn.configured import whole_number
from fedlearn.errors import BadInput, ShapeError
from fedlearn.wording import many

MIN_ALPHA, MAX_ALPHA = 1e-6, 1e6


class Partitioner(ABC):
    """One way to deal a data set's examples to clients.

    by_class: it goes by the classes of examples, so that it says nothing for data without any.
    """

    by_class: ClassVar[bool] = False

    @abstractmethod
    def split(
        self, labels: np.ndarray, users: Sequence[str] | None, clients: int | None, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """The numbers of the examples that each client gets, ascending, int64: every example once.

        labels: the class of each example (n,). users: whose each is, where that is known. clients: how many; None
        where the partition finds out by itself. Raises `BadInput` for a number of clients that it cannot deal to, and
        for labels or users that are not one for each example.
        """


@dataclass(frozen=True)
class IID(Partitioner):
    """A shuffled deal into parts whose sizes differ by at most one."""

    def split(
        self, labels: np.ndarray, users: Sequence[str] | None, clients: int | None, rng: np.random.Generator
    ) -> list[np.ndarray]:
        labels = one_each(labels)
        count = checked_clients(clients, len(labels), "iid")
        return ascending(np.array_split(rng.permutation(len(labels)), count))


@dataclass(frozen=True)
class Dirichlet(Partitioner):
    """Clients of equal size whose class shares q ~ Dirichlet(alpha * p), with p the shares of the whole.

    After Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification" (2019), section 2: a client draws its examples by q without replacement; a class that
    runs out is dropped from q. A small alpha gives clients of one class, a large one approaches iid. Sizes
    differ by at most one, so that no client is empty and nothing has to be drawn again.
    """

    alpha: float

    by_class: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number = isinstance(self.alpha, Real) and not isinstance(self.alpha, bool)
        if not (number and MIN_ALPHA <= self.alpha <= MAX_ALPHA):
            raise BadInput(
                f"dirichlet with alpha {self.alpha!r:.80}: give a number from {MIN_ALPHA} to {MAX_ALPHA:.0f}"
            )
        object.__setattr__(self, "alpha", float(self.alpha))

    def split(
        self, labels: np.ndarray, users: Sequence[str] | None, clients: int | None, rng: np.random.Generator
    ) -> list[np.ndarray]:
        labels = one_each(labels)
        count = checked_clients(clients, len(labels), "dirichlet")
        order = rng.permutation(len(labels))
        _, classes, totals = np.unique(labels[order], return_inverse=True, return_counts=True)
        stock = [order[classes == c] for c in range(len(totals))]
        left = totals.copy()
        parts = []
        for size in (len(part) for part in np.array_split(order, count)):
            shares = rng.dirichlet(self.alpha * totals / len(labels))
            taken = _draw(size, shares, left, rng)
            parts.append(np.concatenate([s[n - t : n] for s, n, t in zip(stock, left, taken, strict=True)]))
            left -= taken
        return ascending(parts)


@dataclass(frozen=True)
class Shards(Partitioner):
    """Label-sorted examples cut into equal shards, `per_client` random shards to each client.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (2017),
    section 3: their pathological non-IID split (200 shards of 300 digits, two to each of 100 clients).
    """

    per_client: int

    by_class: ClassVar[bool] = True

    def __post_init__(self) -> None:
        per_client = whole_number("shards per client, as in shards:2,", self.per_client, least=1)
        object.__setattr__(self, "per_client", per_client)

    def split(
        self, labels: np.ndarray, users: Sequence[str] | None, clients: int | None, rng: np.random.Generator
    ) -> list[np.ndarray]:
        labels = one_each(labels)
        count = checked_clients(clients, len(labels), "shards")
        total = count * self.per_client
        if total > len(labels):
            raise BadInput(
                f"{many(count, 'client')} of {many(self.per_client, 'shard')} would need "
                f"{many(total, 'example')} of {len(labels):,}: give fewer clients or shards"
            )
        order = rng.permutation(len(labels))
        shards = np.array_split(order[np.argsort(labels[order], kind="stable")], total)
        dealt = rng.permutation(total).reshape(count, self.per_client)
        return ascending([np.concatenate([shards[s] for s in chosen]) for chosen in dealt])


@dataclass(frozen=True)
class Natural(Partitioner):
    """Each user is a client, in alphabetical order; with fewer clients, users share one.

    Users are then dealt whole, largest first, each to the client with the fewest examples so far.
    """

    def split(
        self, labels: np.ndarray, users: Sequence[str] | None, clients: int | None, rng: np.random.Generator
    ) -> list[np.ndarray]:
        if users is None:
            raise BadInput("partition natural: the data names no users: choose iid, dirichlet or shards")
        owner = numbered(users)
        if len(owner) != len(one_each(labels)):
            raise ShapeError(
                f"{many(len(labels), 'example')} of {many(len(owner), 'user')} (natural): name the user of each"
            )
        sizes = np.bincount(owner)
        count = checked_clients(len(sizes) if clients is None else clients, len(labels), "natural")
        if count > len(sizes):
            raise BadInput(
                f"{many(count, 'client')} of {many(len(sizes), 'user')} (natural): give at most {len(sizes):,}"
            )
        home = np.arange(len(sizes)) if count == len(sizes) else _balanced(sizes, count)
        return [np.flatnonzero(home[owner] == client) for client in range(count)]


def checked_clients(clients: int | None, examples: int, partition: str) -> int:
    """The number of clients; raises `BadInput` where none was given, or where they cannot each have an example."""
    if clients is None:
        raise BadInput(f"partition {partition} needs the number of clients: give clients=N")
    count = whole_number("the number of clients", clients)
    if not 1 <= count <= examples:
        raise BadInput(
            f"{many(count, 'client')} of {many(examples, 'example')} ({partition}): give from 1 to {examples:,}"
        )
    return count


def one_each(labels: np.ndarray) -> np.ndarray:
    """The class of each example (n,) as an array; raises `ShapeError` for another rank, `BadInput` for nan.

    Names become their numbers in alphabetical order.
    """
    if isinstance(labels, list | tuple) and all(isinstance(label, str) for label in labels):
        return numbered(labels)  # in an array each would take as much memory as the longest
    array = as_array("labels", labels)
    if array.ndim != 1:
        raise ShapeError(f"labels of shape {array.shape}: give the class of each example, (n,)")
    if array.dtype.kind not in REAL + "US" or (array.dtype.kind == "f" and np.isnan(array).any()):
        raise BadInput(f"labels of type {array.dtype}: give each example a number or a name that says its class")
    return array if array.dtype.kind in REAL else numbered(array.tolist())


def numbered(users: Sequence[str]) -> np.ndarray:
    """A number for each example's user, int64 (n,), in alphabetical order from 0.

    Raises `BadInput` for one text in the place of names, and for names that have no order.
    """
    no_names = BadInput(f"users {users!r:.80}: give a name for each example")
    if isinstance(users, str):
        raise no_names
    try:
        names = list(users)
        known = sorted(set(names))
    except TypeError:
        raise no_names from None
    number = {user: i for i, user in enumerate(known)}
    return np.array([number[user] for user in names], np.int64)


def _draw(size: int, shares: np.ndarray, left: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How many of each class `size` draws by `shares` give when only `left` of each remain."""
    taken = np.zeros_like(left)
    while (need := size - taken.sum()) > 0:
        open_shares = np.where(left > taken, shares, 0.0)
        if not open_shares.any():  # the client drew (numerically) nothing of the classes that remain
            open_shares = (left - taken).astype(np.float64)
        counts = rng.multinomial(need, open_shares / open_shares.sum())
        taken = np.minimum(taken + counts, left)
    return taken


def _balanced(sizes: np.ndarray, clients: int) -> np.ndarray:
    """The client of each user: largest user first, each to the client with the fewest examples."""
    home = np.empty(len(sizes), dtype=np.int64)
    load = np.zeros(clients, dtype=np.int64)
    for user in np.argsort(-sizes, kind="stable"):
        home[user] = np.argmin(load)
        load[home[user]] += sizes[user]
    return home


def ascending(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each client's examples in rising order, int64."""
    return [np.sort(part).astype(np.int64, copy=False) for part in parts]
