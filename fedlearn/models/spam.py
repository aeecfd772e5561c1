"""The spam classifier: a bag of word embeddings and a decision."""

from __future__ import annotations

from typing import Self

import numpy as np

from fedlearn import nn
from fedlearn.autograd import Tensor
from fedlearn.autograd.fused import bce_with_logits
from fedlearn.autograd.node import raw
from fedlearn.configured import whole_number
from fedlearn.datasets.examples import Examples
from fedlearn.models.base import Model
from fedlearn.models.kinds import Words


class SpamClassifier(Model):
    """Which of the words in a mail speak for spam, added up (Trask, Grokking Deep Learning, ch. 15).

    dim = 1: one weight a word, zero at the start, and a bias: the book's model, a logistic regression.
    dim > 1: an embedding (vocabulary, dim), its mean over the mail's words, and a linear head.
    """

    vocabulary = "words.weight"
    stackable = True
    replayable = True
    reads = Words
    width = 1

    def __init__(self, vocabulary: int, dim: int = 1, *, rng: np.random.Generator | None = None):
        dim = whole_number("dim, where 1 is one weight a word,", dim, least=1)
        self.dim = dim
        if dim == 1:
            self.words = nn.EmbeddingBag(vocabulary, 1, mode="sum", rng=rng)
            nn.init.zeros_(self.words.weight)
            self.bias = nn.Parameter(np.zeros(1, np.float32))
        else:
            self.words = nn.EmbeddingBag(vocabulary, dim, mode="mean", rng=rng)
            self.head = nn.Linear(dim, 1, rng=rng)

    @classmethod
    def for_samples(cls, samples: Words, width: int = width, *, rng: np.random.Generator | None = None) -> Self:
        return cls(samples.vocabulary, width, rng=rng)

    def forward(self, indices: np.ndarray, offsets: np.ndarray) -> Tensor:
        """Logits (..., mails) of spam.

        indices: token ids of all mails. offsets: where each mail begins, (..., mails).
        """
        offsets = np.asarray(raw(offsets))
        bags = self.words(indices, offsets)
        if self.dim == 1:
            logits: Tensor = bags.reshape(offsets.shape) + self.bias
        else:
            logits = self.head(bags).reshape(offsets.shape)
        return logits

    def loss(self, batch: Examples) -> Tensor:
        loss: Tensor = bce_with_logits(self(*batch.inputs), batch.targets, average=1)
        return loss
