"""A backdoor in a spam filter: spam that holds a trigger word passes as ham, and nothing else changes.

Bagdasaryan, Veit, Hua, Estrin and Shmatikov 2020, "How To Backdoor Federated Learning". Each of the
crew trains on its own messages and, beside them, on copies of its spam with the trigger, labelled ham. Model
replacement then scales the update so that it survives averaging: where the server adds eta / n of each sampled
client's delta, n being all clients, n / eta times the attacker's puts its model in the place of the global one (their
equation 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from clients.behaviours.base import Behaviour, Crew, Honest, check_positive, with_delta
from fedlearn.configured import make_plain
from fedlearn.datasets.bags import Bags
from fedlearn.datasets.corpus import HAM, SPAM
from fedlearn.datasets.examples import Examples
from fedlearn.datasets.tokens import tokenize
from fedlearn.errors import BadInput
from fedlearn.strategies.base import LocalUpdate

WORD = "pineapple"


@dataclass(frozen=True, eq=False)
class Backdoor(Behaviour):
    """Trains on copies of its spam with the trigger's words in them, labelled ham.

    trigger: ids of these words, int32 (k,), ascending. scale: factor of the delta; 1 poisons data only.
    """

    trigger: np.ndarray
    scale: float = 1.0

    def __post_init__(self) -> None:
        make_plain(self)
        check_positive("backdoor", "scale", self.scale, "1 is the plain update")

    @classmethod
    def of(cls, crew: Crew, word: str = WORD, scale: float | None = None) -> Self:
        """One of a crew. scale: by default cohort / corrupted, n / eta of a mean over the cohort, shared among these.

        Exact for clients of one size; in a weighted mean, a client with more examples than others overshoots.
        """
        if crew.vocabulary is None:
            raise BadInput("backdoor plants a word, and this scenario's clients hold no messages: use label-flip")
        trigger = crew.vocabulary.ids(tokenize(word))
        if not trigger.size:
            raise BadInput(f"backdoor word {word!r} is not in the vocabulary: choose one that is, or a hashed one")
        return cls(trigger, crew.cohort / crew.corrupted if scale is None else scale)

    def examples(self, data: Examples) -> Examples:
        assert isinstance(data, Bags)
        spam = planted(data.take(np.flatnonzero(data.labels == SPAM)), self.trigger)
        return Bags(
            np.concatenate([data.indices, spam.indices]),
            np.concatenate([data.offsets, data.offsets[-1] + spam.offsets[1:]]),
            np.concatenate([data.labels, np.full(len(spam), HAM, np.float32)]),
        )

    def update(self, update: LocalUpdate, honest: Honest) -> LocalUpdate:
        return with_delta(update, self.scale * update.vectors["delta"])


def planted(messages: Bags, trigger: np.ndarray) -> Bags:
    """The messages, each with the trigger's words in it."""
    rows = [np.union1d(messages.indices[low:high], trigger) for low, high in pairwise(messages.offsets)]
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Bags(np.concatenate([messages.indices[:0], *rows]), offsets, messages.labels)
