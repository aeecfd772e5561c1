"""A layout as it is in one round: with the bounds that the round's request says, of the weights that it sends."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from fedlearn.protocol import RunPlan
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.compression import Compression, kept, of_weights
from fedlearn.secure.layout import Layout
from fedlearn.seeding import stream
from fedlearn.strategies.base import LocalUpdate, State, Strategy
from fedlearn.travel import rebuilt


@dataclass(frozen=True, eq=False)
class RoundLayout:
    """The layout that clients' halves and the aggregator's agree on in a round; made by `of`.

    sent: which of a model's `parameters` weights, int64 rising; None for all. shared: the outputs of which only these
    are sent, by name.
    """

    layout: Layout
    plan: RunPlan
    compression: Compression
    round: int
    sent: np.ndarray | None
    parameters: int
    shared: frozenset[str]

    @classmethod
    def of(
        cls, plan: RunPlan, layout: Layout, round: int, weights: np.ndarray, state: Mapping[str, np.ndarray]
    ) -> RoundLayout:
        """The layout of one round. weights, state: as in its `TrainRequest`. layout: the plan's.

        Raises `ProtocolError` for a request without bounds, where these follow the updates.
        """
        compression, layout = Compression.of_plan(plan), layout.in_round(state)
        sent = compression.sent(plan.seed, round, weights.size)
        shared = frozenset() if sent is None else _shared(plan, weights.size)
        return cls(layout, plan, compression, round, sent, weights.size, shared)

    @property
    def whole(self) -> bool:
        """True if vectors are encoded in the model's full length."""
        return self.layout.whole or self.compression.whole or self.layout.codec.rounding == "stochastic"

    def narrowed(self, length: int) -> RoundLayout:
        """The same for an update whose first vector is cut down to so many values."""
        return replace(self, layout=self.layout.narrowed(length))

    def encode(self, update: LocalUpdate, clients: Sequence[int], left: State) -> tuple[np.ndarray, State]:
        """The lanes of one client (n,), or of K stacked ones (K, n), and what they keep of their updates.

        left: what they kept before. Raises `CodecError` as `Layout.encode` does.
        """
        coins = self._coins(np.shape(update.loss), clients)
        if not (self.shared or self.compression.feedback):
            return self.layout.encode(update, coins), {}
        vectors = update.vectors
        if self.compression.feedback:
            vectors = {name: values + left[kept(name)] for name, values in vectors.items()}
        sent = {name: self._cut(name, values) for name, values in vectors.items()}
        lanes = self.layout.encode(replace(update, vectors=sent), coins)
        if not self.compression.feedback:
            return lanes, {}
        entered = self.layout.entered(lanes, update.examples)
        rest = {name: values - self.spread(name, entered[name]) for name, values in vectors.items()}
        return lanes, {kept(name): values.astype(np.float32) for name, values in rest.items()}

    def decode(self, total: np.ndarray, addends: int) -> Aggregate:
        """As `Layout.decode`; the mean of weights that were not sent is 0."""
        found = self.layout.decode(total, addends)
        if not self.shared:
            return found
        return replace(found, mean={name: self.spread(name, values) for name, values in found.mean.items()})

    def _cut(self, name: str, values: np.ndarray) -> np.ndarray:
        return values[..., self.sent] if name in self.shared else values

    def spread(self, name: str, values: np.ndarray) -> np.ndarray:
        """The values that were sent of an output, among zeros where that is a share."""
        if name not in self.shared:
            return values
        whole = np.zeros((*values.shape[:-1], self.parameters), values.dtype)
        whole[..., self.sent] = values
        return whole

    def _coins(self, shape: tuple[int, ...], clients: Sequence[int]) -> dict[str, np.ndarray] | None:
        """Each client's own numbers to round by, by output; secret where noise hides what is rounded."""
        if self.layout.codec.rounding == "nearest":
            return None
        secret = bool(self.plan.privacy) and self.plan.privacy["seed"] is None
        draws = [
            np.random.default_rng(secrets.randbits(256))
            if secret
            else stream(self.plan.seed, "rounding", self.round, client)
            for client in clients
        ]
        return {
            segment.name: np.stack([draw.random(segment.length) for draw in draws]).reshape(*shape, segment.length)
            for segment in self.layout.vectors
        }


@lru_cache(maxsize=4)
def _shared(plan: RunPlan, parameters: int) -> frozenset[str]:
    return of_weights(rebuilt(plan.strategy, Strategy).outputs(parameters))
