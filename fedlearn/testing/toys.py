"""Small data for checks: dense examples, messages, models, all drawn from a seed."""

from __future__ import annotations

import numpy as np

from fedlearn.datasets.bags import Bags
from fedlearn.datasets.examples import Arrays
from fedlearn.models.mlp import MLP
from fedlearn.models.spam import SpamClassifier

INPUTS, CLASSES, WORDS = 6, 3, 50


def dense_examples(count: int, seed: int) -> Arrays:
    """Features float32 (n, 6) and classes int64 (n,), which depend on them."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, INPUTS)).astype(np.float32)
    return Arrays(features, features[:, :CLASSES].argmax(axis=1))


def messages(count: int, seed: int, longest: int = 8) -> Bags:
    """Bags of up to so many of 50 words, some empty; the even words speak for spam."""
    rng = np.random.default_rng(seed)
    rows = [np.unique(rng.integers(WORDS, size=rng.integers(longest + 1))).astype(np.int32) for _ in range(count)]
    labels = np.array([np.sum(row % 2 == 0) > len(row) / 2 for row in rows], np.float32)
    return Bags(np.concatenate(rows), np.cumsum([0, *map(len, rows)], dtype=np.int64), labels)


def dense_model(seed: int = 0) -> MLP:
    return MLP((INPUTS, 5, CLASSES), rng=np.random.default_rng(seed))


def word_model(dim: int = 3, seed: int = 0) -> SpamClassifier:
    """A word model none of whose weights is 0."""
    model = SpamClassifier(WORDS, dim, rng=np.random.default_rng(seed))
    model.vector[:] = np.random.default_rng(seed).standard_normal(model.vector.size)
    return model


def plain_data(value: object) -> object:
    """A value as it comes out of a run plan: through its bytes."""
    import msgpack

    return msgpack.unpackb(msgpack.packb(value), strict_map_key=False)


def same_bits(first: np.ndarray, second: np.ndarray) -> bool:
    """True where two arrays are equal, NaN included, and of one dtype and shape."""
    a, b = np.asarray(first), np.asarray(second)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


__all__ = ["dense_examples", "dense_model", "messages", "plain_data", "same_bits", "word_model"]
