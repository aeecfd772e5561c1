"""A class for a whole sequence, decided on the last state of a recurrent network."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fedlearn import nn
from fedlearn.autograd import Tensor
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.models.kinds import Sequences
from fedlearn.nn import functional as F
from fedlearn.nn.recurrent import checked_lengths

LAYERS: dict[str, type[Any]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class SequenceClassifier(Model):
    """Embedding (V, E), one recurrent layer (`cell`: rnn, gru or lstm) of H units, linear head (classes, H)."""

    reads = Sequences
    width = 32

    def __init__(
        self,
        vocabulary: int,
        classes: int,
        embedding: int = 16,
        hidden: int = 32,
        cell: str = "lstm",
        *,
        rng: np.random.Generator | None = None,
    ):
        if not isinstance(cell, str) or cell not in LAYERS:
            raise BadInput(f"unknown recurrent cell {cell!r:.80}: choose one of {', '.join(LAYERS)}")
        self.embedding = nn.Embedding(vocabulary, embedding, rng=rng)
        self.recurrent = LAYERS[cell](embedding, hidden, rng=rng)
        self.head = nn.Linear(hidden, classes, rng=rng)

    @classmethod
    def for_samples(cls, samples: Sequences, width: int = width, *, rng: np.random.Generator | None = None) -> Self:
        """An LSTM of `width` units over embeddings of half as many."""
        return cls(samples.vocabulary, samples.classes, max(1, width // 2), width, rng=rng)

    def forward(self, ids: np.ndarray, lengths: np.ndarray | None = None) -> Tensor:
        """ids (B, T), the first `lengths` (B,) of each row counting (None: all) -> logits (B, classes)."""
        ids = np.asarray(ids)
        outputs, _ = self.recurrent.embedded(ids.T, self.embedding.weight)
        if lengths is None:
            logits: Tensor = self.head(outputs[-1])
            return logits
        last = checked_lengths(lengths, ids.shape[1], len(ids)) - 1
        logits = self.head(outputs[last, np.arange(len(ids))])
        return logits

    def loss(self, batch: Examples) -> Tensor:
        loss: Tensor = F.cross_entropy(self(*batch.inputs), batch.targets)
        return loss
