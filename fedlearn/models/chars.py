"""Character language models: what comes next, by a recurrent network (Karpathy 2015; Trask, ch. 14)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from fedlearn import nn
from fedlearn.autograd import Tensor, no_grad
from fedlearn.autograd.memory import keep_freed
from fedlearn.autograd.places import indices
from fedlearn.checked import generator
from fedlearn.configured import whole_number
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models.base import Model
from fedlearn.models.kinds import Characters
from fedlearn.nn import functional as F
from fedlearn.nn.functional.arguments import real
from fedlearn.nn.modes import in_use
from fedlearn.nn.utils import clip_grad_norm_
from fedlearn.optim import Optimizer
from fedlearn.wording import many

SMALLEST_TEMPERATURE = 1e-30  # a smaller one divides logits to infinity


class CharModel(Model):
    """Embedding (V, E), recurrent layers of H units, linear head (V, H); E is H unless given."""

    layer: type[Any]
    reads = Characters
    width = 64

    def __init__(
        self,
        vocabulary: int,
        hidden: int = 128,
        embedding: int | None = None,
        layers: int = 1,
        dropout: float = 0.0,
        *,
        rng: np.random.Generator | None = None,
    ):
        vocabulary = whole_number("the number of characters", vocabulary, least=1)
        width = hidden if embedding is None else embedding
        self.embedding = nn.Embedding(vocabulary, width, rng=rng)
        self.recurrent = self.layer(width, hidden, layers, dropout=dropout, rng=rng)
        self.head = nn.Linear(hidden, vocabulary, rng=rng)

    @classmethod
    def for_samples(cls, samples: Characters, width: int = width, *, rng: np.random.Generator | None = None) -> Self:
        """Recurrent layers of `width` units over embeddings of 16."""
        return cls(samples.alphabet, width, 16, rng=rng)

    def forward(self, ids: np.ndarray, state: Any = None) -> tuple[Tensor, Any]:
        """ids (B, T), whole numbers below V -> logits of the next character (T, B, V), and the last state."""
        outputs, state = self.recurrent.embedded(np.asarray(ids).T, self.embedding.weight, state)
        return self.head(outputs), state

    def loss(self, batch: Examples) -> Tensor:
        """Mean nats per character; inputs and targets are (B, T)."""
        return self._loss(batch.inputs[0], batch.targets, None)[0]

    def train_stream(
        self, ids: np.ndarray, batch: int, length: int, optimizer: Optimizer, max_norm: float = 5.0
    ) -> float:
        """One pass over a text (n,), by truncated backpropagation: `batch` places read side by side, each
        window of `length` beginning with the state that the one before ended in. Returns mean nats per character.
        """
        keep_freed()
        self.train()
        state, total, seen = None, 0.0, 0
        for inputs, targets in consecutive_windows(ids, batch, length):
            optimizer.zero_grad()
            loss, state = self._loss(inputs, targets, state)
            state = detached(state)
            loss.backward()
            clip_grad_norm_(self.parameters(), max_norm)
            optimizer.step()
            total += loss.item() * inputs.size
            seen += inputs.size
        return total / seen

    def nats(self, ids: np.ndarray, length: int = 256, batch: int = 8) -> float:
        """Mean nats per character of a text (n,), the state carried along; perplexity is its exponential."""
        length, batch = whole_number("length", length, least=1), whole_number("batch", batch, least=1)
        state, total, seen = None, 0.0, 0
        with in_use(self), no_grad():
            for inputs, targets in consecutive_windows(ids, min(batch, max(1, (len(ids) - 1) // length)), length):
                loss, state = self._loss(inputs, targets, state)
                total += loss.item() * inputs.size
                seen += inputs.size
        return total / seen

    def perplexity(self, ids: np.ndarray) -> float:
        """The exponential of the mean nats per character: how many characters it hesitates between."""
        return math.exp(self.nats(ids))

    def generate(
        self, prompt: np.ndarray, length: int, temperature: float = 1.0, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """`length` characters (int64) drawn after `prompt` (n,); a temperature near 0 takes the likeliest."""
        temperature = real(temperature, "temperature", SMALLEST_TEMPERATURE, finite=False)
        length, prompt, rng = whole_number("length", length, least=0), np.asarray(prompt), generator(rng)
        if prompt.ndim != 1 or not len(prompt):
            raise BadInput(f"a prompt of shape {prompt.shape}: give the numbers of at least one character, in a row")
        drawn: list[int] = []
        inputs, state = prompt[None], None
        with in_use(self), no_grad():
            for _ in range(length):
                logits, state = self(inputs, state)
                scores = logits.numpy()[-1, 0].astype(np.float64) / temperature
                if np.isnan(scores).any():
                    raise BadInput("the model gives no numbers (nan), it has diverged: train with a lower lr")
                drawn.append(int((scores + rng.gumbel(size=len(scores))).argmax()))  # a draw from the softmax
                inputs = np.array([[drawn[-1]]])
        return np.array(drawn, np.int64)

    def _loss(self, inputs: np.ndarray, targets: np.ndarray, state: Any) -> tuple[Tensor, Any]:
        logits, state = self(inputs, state)
        flat = logits.reshape(-1, logits.shape[-1])
        return F.cross_entropy(flat, np.asarray(targets).T.reshape(-1)), state


class CharRNN(CharModel):
    """The next character, by plain recurrent layers."""

    layer = nn.RNN


class CharGRU(CharModel):
    """The next character, by gated recurrent units."""

    layer = nn.GRU


class CharLSTM(CharModel):
    """The next character, by long short-term memory."""

    layer = nn.LSTM


def detached(state: Any) -> Any:
    """A recurrent state without its history: where truncated backpropagation stops."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def consecutive_windows(ids: np.ndarray, batch: int, length: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of inputs and targets (batch, length), int, from a text (n,); targets are the next characters.

    The text is cut into `batch` rows. Each pair continues every row where the pair before ended, so that a recurrent
    state can be carried on. Raises `BadInput` for a text that is too short.
    """
    ids = indices(ids, "character")
    batch, length = whole_number("batch", batch, least=1), whole_number("length", length, least=1)
    if ids.ndim != 1:
        raise ShapeError(f"a text is one row of characters, this one has shape {ids.shape}")
    each = (len(ids) - 1) // batch
    if each < 1:
        raise BadInput(
            f"a text of {many(len(ids), 'character')} does not give {many(batch, 'row')} of windows of {length}: "
            f"at least {many(batch + 1, 'character is', 'characters are')} needed"
        )
    rows = ids[: each * batch].reshape(batch, each)
    following = ids[1 : each * batch + 1].reshape(batch, each)
    for start in range(0, each, length):
        yield rows[:, start : start + length], following[:, start : start + length]
