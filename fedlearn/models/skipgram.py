"""Word vectors by skip-gram with negative sampling (Mikolov et al. 2013, "Distributed Representations")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlearn import nn
from fedlearn.autograd import Tensor
from fedlearn.checked import real_array, taken, whole_array
from fedlearn.configured import whole_number
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models.base import Model
from fedlearn.nn import functional as F


class SkipGram(Model):
    """Which words stand near which: a vector for each word as centre, and one as neighbour, both (V, dim)."""

    def __init__(self, vocabulary: int, dim: int = 32, *, rng: np.random.Generator | None = None):
        self.words = nn.Embedding(vocabulary, dim, rng=rng)
        self.contexts = nn.Embedding(vocabulary, dim, rng=rng)
        nn.init.zeros_(self.contexts.weight)

    def forward(self, centres: np.ndarray, candidates: np.ndarray) -> Tensor:
        """centres (n,) and candidates (n, k) -> logits (n, k) that the candidate stands near the centre."""
        scores: Tensor = (self.words(centres).unsqueeze(1) * self.contexts(candidates)).sum(axis=-1)
        return scores

    def loss(self, batch: Examples) -> Tensor:
        """Sum over a centre's candidates of the binary cross-entropy, mean over centres."""
        losses = F.binary_cross_entropy_with_logits(self(*batch.inputs), batch.targets, reduction="none")
        loss: Tensor = losses.sum(axis=1).mean()
        return loss

    def nearest(self, vector: np.ndarray, count: int = 5, without: tuple[int, ...] = ()) -> list[tuple[int, float]]:
        """The `count` words whose vectors have the largest cosine with `vector` (dim,), with that cosine."""
        table, count = self.words.weight.numpy(), whole_number("count", count, least=0)
        vector = real_array("vector", vector)
        without = tuple(taken("without", without, len(table)).tolist())
        if vector.shape != table.shape[1:]:
            raise ShapeError(f"a vector of {vector.shape} beside words of {table.shape[1:]}: give one number a column")
        norms = np.linalg.norm(table, axis=1) * max(float(np.linalg.norm(vector)), 1e-12)
        cosines = table @ vector / np.maximum(norms, 1e-12)
        cosines[list(without)] = -np.inf
        best = np.argsort(-cosines, kind="stable")[: min(count, len(table) - len(without))]
        return [(int(word), float(cosines[word])) for word in best]

    def analogy(self, a: int, b: int, c: int, count: int = 5) -> list[tuple[int, float]]:
        """Analogies, a : b = c : ? The words nearest to b - a + c, without a, b and c."""
        table = self.words.weight.numpy()
        a, b, c = taken("words", [a, b, c], len(table)).tolist()
        return self.nearest(table[b] - table[a] + table[c], count, without=tuple({a, b, c}))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Centres (n,), candidates (n, 1 + negatives), the first of each a true neighbour; targets 1 and 0 to match."""

    centres: np.ndarray
    candidates: np.ndarray

    def __len__(self) -> int:
        return len(self.centres)

    def take(self, order: np.ndarray | slice) -> Pairs:
        return Pairs(self.centres[order], self.candidates[order])

    @property
    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        return self.centres, self.candidates

    @property
    def targets(self) -> np.ndarray:
        targets = np.zeros(self.candidates.shape, np.float32)
        targets[:, 0] = 1
        return targets


def pairs(ids: np.ndarray, window: int, negatives: int, rng: np.random.Generator) -> Pairs:
    """Every pair of words of a text (n,) at most `window` apart, with `negatives` words drawn from the text.

    Negatives are drawn in proportion to the count of a word to the power 3/4, as the paper has it.
    """
    ids = whole_array("ids", ids, below=2**31)
    window = whole_number("window", window, least=1)
    negatives = whole_number("negatives", negatives, least=1)
    if ids.ndim != 1 or len(ids) < 2:
        raise BadInput(f"a text of shape {ids.shape}: at least two words in a row are needed")
    shifts = [d for d in range(1, window + 1) if d < len(ids)]
    centres = np.concatenate([part for d in shifts for part in (ids[:-d], ids[d:])])
    neighbours = np.concatenate([part for d in shifts for part in (ids[d:], ids[:-d])])
    odds = np.bincount(ids) ** 0.75
    drawn = rng.choice(len(odds), (len(centres), negatives), p=odds / odds.sum())
    return Pairs(centres, np.concatenate([neighbours[:, None], drawn], axis=1))
