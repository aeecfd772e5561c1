"""Small federations that tests share: real clients, real keys (toy sizes, said so), seconds to run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aggregator import Aggregator, History
from clients import Client
from fedlearn import nn
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.bags import Bags
from fedlearn.errors import NothingLearned
from fedlearn.models.base import Model, mean_cross_entropy
from fedlearn.models.spam import SpamClassifier
from fedlearn.protocol import Pool
from fedlearn.secure import Paillier, Plain
from fedlearn.strategies import FedAvg

WORDS = 40
TOY_BITS = 512  # protects nothing: for speed where the size of the key is not what is tested


def toy_bags(messages: int, seed: int) -> Bags:
    """Messages of 1 to 6 words; the even words speak for spam."""
    rng = np.random.default_rng(seed)
    rows = [np.unique(rng.integers(WORDS, size=rng.integers(1, 7))).astype(np.int32) for _ in range(messages)]
    labels = np.array([np.mean(row % 2 == 0) > 0.5 for row in rows], np.float32)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Bags(np.concatenate(rows), offsets, labels)


def toy_clients(count: int = 3) -> list[Client]:
    """Clients of different sizes, named client-0, client-1..."""
    return [Client(f"client-{i}", toy_bags(5 + 3 * i, seed=i)) for i in range(count)]


def toy_model(dim: int = 1) -> SpamClassifier:
    return SpamClassifier(WORDS, dim, rng=np.random.default_rng(0))


def toy_strategy() -> FedAvg:
    return FedAvg(epochs=2, batch_size=4, lr=0.5, max_weight=64)


def toy_codec(addends: int = 16) -> FixedPoint:
    return FixedPoint(bits=24, bound=4.0, addends=addends)


def toy_paillier(**changes) -> Paillier:
    return Paillier(**{"key_bits": TOY_BITS, "codec": toy_codec(), "insecure_test_key": True} | changes)


def toy_plain() -> Plain:
    return Plain(toy_codec())


def fitted(aggregator: Aggregator, pool: Pool, rounds: int) -> History:
    """The history of a run, of one too in which every round is void."""
    try:
        return aggregator.fit(pool, rounds)
    except NothingLearned as failed:
        return failed.history


@dataclass
class FailingBags:
    """Examples that cannot be read: local training raises whatever `error` is."""

    error: Exception
    size: int = 4

    def __len__(self) -> int:
        return self.size

    def take(self, order: np.ndarray | slice) -> Bags:
        raise self.error


class Normalised(Model):
    """A dense classifier with means over a batch in it, which one example has none of."""

    def __init__(self, *, rng=None):
        self.body = nn.Linear(6, 4, rng=rng)
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)
        self.head = nn.Linear(4, 3, rng=rng)

    def forward(self, features):
        return self.head(self.norm(self.body(features)))

    def loss(self, batch):
        return mean_cross_entropy(self(*batch.inputs), batch.targets)
