"""A small instance of each model of the registry, and clients' examples that it reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.datasets.examples import Arrays, Examples
from fedlearn.models.base import Model
from fedlearn.models.chars import CharModel
from fedlearn.models.convnet import ConvNet
from fedlearn.models.mlp import MLP
from fedlearn.models.sequence import SequenceClassifier
from fedlearn.models.skipgram import SkipGram, pairs
from fedlearn.models.spam import SpamClassifier
from fedlearn.testing.toys import messages

CLIENTS, EXAMPLES = 4, 6


def samples_for(kind: type[Any]) -> tuple[Model, list[Examples]]:
    rng = np.random.default_rng(1)
    for family, sample in SAMPLES.items():
        if issubclass(kind, family):
            model, draw = sample(kind, rng)
            return model, [draw(i) for i in range(CLIENTS)]
    raise AssertionError(f"no examples for {kind.__name__}: add a row to SAMPLES in {__name__}")


def dense_built(kind: type[Any]) -> bool:
    return issubclass(kind, MLP | ConvNet)


def _classes(shape: tuple[int, ...], classes: int):
    def draw(seed: int) -> Arrays:
        rng = np.random.default_rng(seed)
        features = rng.random((EXAMPLES, *shape), np.float32)
        return Arrays(features, rng.integers(classes, size=EXAMPLES))

    return draw


def _ids(vocabulary: int, length: int, classes: int | None):
    def draw(seed: int) -> Arrays:
        ids = np.random.default_rng(seed).integers(vocabulary, size=(EXAMPLES, length + 1))
        return Arrays(ids[:, :-1], ids[:, 1:] if classes is None else ids[:, -1] % classes)

    return draw


SAMPLES = {
    MLP: lambda kind, rng: (kind((6, 5, 3), rng=rng), _classes((6,), 3)),
    ConvNet: lambda kind, rng: (kind(4, 3, 2, rng=rng), _classes((16,), 3)),
    SpamClassifier: lambda kind, rng: (kind(50, 3, rng=rng), lambda seed: messages(EXAMPLES, seed)),
    SequenceClassifier: lambda kind, rng: (kind(9, 3, 4, 5, rng=rng), _ids(9, 5, 3)),
    CharModel: lambda kind, rng: (kind(9, 8, 4, rng=rng), _ids(9, 5, None)),
    SkipGram: lambda kind, rng: (
        kind(9, 4, rng=rng),
        lambda seed: pairs(np.random.default_rng(seed).integers(9, size=12), 1, 2, np.random.default_rng(seed)),
    ),
}
