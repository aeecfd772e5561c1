"""The exact text behind a gradient of a character LSTM or RNN, by linear algebra alone.

The gradient of the recurrent weight is a sum of products: errors at the gates of step t, times the state h of step
t - 1. Its rows therefore span the states that occurred, and its columns the errors, as long as there are fewer of
them than hidden units: batch x (T - 1) x clients < H. The states follow from the characters by the public model, so
a text is read from its beginning: of all next characters only the right one leads to a state in the row space. The
last character and what follows it have no state in there, but the error that they cause is in the column space.

This is the span test that DAGER (Petrov et al., NeurIPS 2024) makes on attention, made on a recurrence. Above the
bound everything lies in the span, which the rank tells. It needs one local step of SGD; for several see `peel`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.replay import unexplained
from fedlearn.wording import many

RECURRENT = "weight_hh_l0"
PARTS = ("embedding.weight", "weight_ih_l0", RECURRENT, "bias_ih_l0", "bias_hh_l0", "head.weight", "head.bias")
ROUNDED = 3.0  # times as far outside the span as rounding alone explains on average


@dataclass(frozen=True, eq=False)
class TextFound(Finding):
    """Texts, each its inputs and the character after the last of them; `rank` of `hidden` is the room in use.

    above_bound: the gradient spans all states there are, so that it cannot tell texts apart, and none is named.
    """

    texts: tuple[str, ...]
    rank: int
    hidden: int

    @property
    def above_bound(self) -> bool:
        return self.rank >= self.hidden

    def summary(self) -> str:
        if self.above_bound:
            return f"rank {self.rank} of {self.hidden}: too much text in one update, nothing can be told apart"
        texts = "\n  ".join(map(repr, self.texts))
        return f"rank {self.rank} of {self.hidden}, {many(len(self.texts), 'text')}\n  {texts}"


@dataclass(frozen=True)
class SpanTest(EachVector[TextFound]):
    """A finding for each plain update and each opened sum of a character model of one recurrent layer."""

    name: ClassVar[str] = "span"

    def read(self, observed: Observed, vector: Vector) -> TextFound:
        """The texts in one vector, taken as the gradient of one step."""
        cell = Cell.of(observed, observed.weights[vector.round])
        _, span = Span.left(observed, vector)
        names = observed.words
        texts = tuple("".join(names[i] for i in ids) for ids in read_texts(cell, span))
        return TextFound(self.name, vector.about, vector.round, texts, span.rank, cell.hidden)


@dataclass(frozen=True, eq=False)
class Span:
    """Orthonormal rows (rank, H) and columns (rank, gates H) of a gradient, with its singular values (rank,).

    noise: standard deviation of the rounding of one number of the gradient.
    """

    rows: np.ndarray
    columns: np.ndarray
    sizes: np.ndarray
    noise: float

    @property
    def rank(self) -> int:
        return len(self.rows)

    @property
    def hidden(self) -> int:
        return int(self.rows.shape[1])

    @classmethod
    def left(cls, observed: Observed, vector: Vector, gradients: Sequence[np.ndarray] = ()) -> tuple[np.ndarray, Span]:
        """The weights (P,) that met the step after these gradients, and the span of what they leave unexplained."""
        met, rest = unexplained(observed, vector, gradients)
        return met, cls.of(observed.part(rest, RECURRENT), observed.rounding(vector, RECURRENT))

    @classmethod
    def of(cls, gradient: np.ndarray, noise: float) -> Span:
        """The span of a gradient (gates H, H), without what is no larger than the rounding of a matrix."""
        left, sizes, right = np.linalg.svd(gradient, full_matrices=False)
        rank = int(np.count_nonzero(sizes > noise * (np.sqrt(gradient.shape[0]) + np.sqrt(gradient.shape[1]))))
        return cls(right[:rank], left.T[:rank], sizes[:rank], noise)

    def holds(self, states: np.ndarray) -> np.ndarray:
        """How far states (..., H) lie outside the row space; 1 is what rounding explains."""
        return self._outside(states, self.rows)

    def holds_errors(self, errors: np.ndarray) -> np.ndarray:
        """The same for gate errors (..., gates H) and the column space."""
        return self._outside(errors, self.columns)

    def _outside(self, vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Rounding turns the basis vector of singular value s by noise / s towards each direction outside."""
        inside = vectors @ basis.T
        outside = np.linalg.norm(vectors - inside @ basis, axis=-1)
        turned = np.linalg.norm(inside / self.sizes, axis=-1) * self.noise
        explained = turned * np.sqrt(basis.shape[1] - self.rank) + 1e-9 * np.linalg.norm(inside, axis=-1)
        found: np.ndarray = np.divide(outside, explained, out=np.where(outside > 0, np.inf, 0.0), where=explained > 0)
        return found


@dataclass(frozen=True, eq=False)
class Cell:
    """The public model in float64: `table` (V, gates H) is what each character adds to the gates."""

    table: np.ndarray
    recurrent: np.ndarray
    head: np.ndarray
    head_bias: np.ndarray

    @classmethod
    def of(cls, observed: Observed, weights: np.ndarray) -> Cell:
        """Raises `NotReadable` for a model that is no character LSTM or RNN of one layer."""
        names = [name for name, _ in observed.model.named_parameters()]
        if any(name.endswith("_l1") for name in names):
            raise NotReadable("the run's model has several recurrent layers: this attack reads the states of one")
        part: Mapping[str, Any] = {p: observed.part(weights, p).astype(np.float64) for p in PARTS}
        recurrent = part[RECURRENT]
        if len(recurrent) not in (recurrent.shape[1], 4 * recurrent.shape[1]):
            raise NotReadable("the run's model is no LSTM or RNN: this attack knows how those make their states")
        table = part["embedding.weight"] @ part["weight_ih_l0"].T + part["bias_ih_l0"] + part["bias_hh_l0"]
        return cls(table, recurrent, part["head.weight"], part["head.bias"])

    @property
    def hidden(self) -> int:
        return int(self.recurrent.shape[1])

    def start(self) -> np.ndarray:
        """States before the first character (1, 2, H): h and c."""
        return np.zeros((1, 2, self.hidden))

    def step(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """States (n, 2, H) -> gates (n, V, gates, H), squashed, and next states (n, V, 2, H) for every character."""
        raw = self.table[None] + (states[:, 0] @ self.recurrent.T)[:, None]
        gates = raw.reshape(*raw.shape[:2], -1, self.hidden)
        if gates.shape[2] == 1:
            h = np.tanh(gates)
            return h, np.concatenate([h, h], axis=2)
        gates = np.stack([_sigmoid(gates[:, :, 0]), _sigmoid(gates[:, :, 1]), np.tanh(gates[:, :, 2]),
                          _sigmoid(gates[:, :, 3])], axis=2)  # fmt: skip
        i, f, g, o = np.moveaxis(gates, 2, 0)
        c = f * states[:, 1][:, None] + i * g
        return gates, np.stack([o * np.tanh(c), c], axis=2)

    def last_errors(self, state: np.ndarray) -> np.ndarray:
        """Errors at the gates (V, V, gates H) if character [0] is the last after `state` (2, H), and [1] follows it."""
        gates, ahead = (array[0] for array in self.step(state[None]))
        h, c = ahead[:, 0], ahead[:, 1]
        logits = h @ self.head.T + self.head_bias
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        dh = (p @ self.head)[:, None] - self.head[None]  # (last, next, H): (p - one-hot) times the head
        if gates.shape[1] == 1:
            found: np.ndarray = dh * (1 - h * h)[:, None]
            return found
        i, f, g, o = (gate[:, None] for gate in np.moveaxis(gates, 1, 0))
        squashed = np.tanh(c)[:, None]
        dc = dh * o * (1 - squashed**2)
        before = state[1]
        errors = [dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g), dh * squashed * o * (1 - o)]
        return np.concatenate(errors, axis=-1)


def read_texts(cell: Cell, span: Span) -> list[tuple[int, ...]]:
    """The texts whose states lie in the span, as character numbers: inputs, and what follows the last."""
    if not 0 < span.rank < cell.hidden:
        return []
    texts: list[tuple[int, ...]] = [()]
    states = cell.start()
    for length in range(1, span.rank + 1):
        ahead = cell.step(states)[1]
        outside = span.holds(ahead[:, :, 0])
        at, character = np.nonzero(outside <= ROUNDED)
        if not at.size:
            break
        best = np.argsort(outside[at, character])[: 2 * -(-span.rank // length)]  # each text has `length` states
        at, character = at[best], character[best]
        texts = [(*texts[i], int(v)) for i, v in zip(at, character, strict=True)]
        states = ahead[at, character]
    return [found for text, state in zip(texts, states, strict=True) if (found := _ended(cell, span, text, state))]


def _ended(cell: Cell, span: Span, text: tuple[int, ...], state: np.ndarray) -> tuple[int, ...] | None:
    """The text with its last input and what follows it; None where no end fits."""
    outside = span.holds_errors(cell.last_errors(state))
    last, after = np.unravel_index(int(np.argmin(outside)), outside.shape)
    return (*text, int(last), int(after)) if text and outside[last, after] <= ROUNDED else None


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * x) + 0.5
