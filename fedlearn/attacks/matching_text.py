"""Text found by trying: search for the characters whose gradient is the one that was seen.

What is moved are soft characters, a distribution over the alphabet at each place of a text; each place but the first is
also the label of the one before it. The methods differ in what they descend on:

dlg   the squared distance of the gradients, by L-BFGS (Zhu et al. 2019)
idlg  the same, once the labels that occur have been read off the last layer's bias (Zhao et al. 2020)
tag   squared and absolute distance together, by Adam (Deng et al. 2021)
lamp  the cosine distance in turn with random changes of the text itself, of which those are kept that lower it, with
      labels as for idlg; in the manner of Balunovic et al. 2022, without their language model

It needs one local step and short texts. Searches end in the pieces of a text in another order, from which only the
changes of the text find out; the distance left over tells. The span test (see `span`) does the same without a search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.objective import Seen, adam, check_method, lbfgs
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.span import Span
from fedlearn.autograd import Tensor
from fedlearn.datasets.examples import Arrays
from fedlearn.models.chars import CharModel
from fedlearn.nn import functional as F
from fedlearn.wording import many

METHODS = ("dlg", "idlg", "tag", "lamp")
ABSOLUTE = 0.1  # weight of the absolute distance in TAG's
EXCLUDED = -1e3  # added to the logit of a character that cannot be
FOUND = 1e-6  # distance below which rounding alone is left
SURE = 3.0  # logit of a known character, above the others at 0, where a descent begins from a text


@dataclass(frozen=True, eq=False)
class TextMatched(Finding):
    """Texts, each its inputs and the character after the last; distance: 1 less the cosine of their gradient's angle
    to the seen one."""

    texts: tuple[str, ...]
    distance: float

    def summary(self) -> str:
        return f"gradient off by {self.distance:.1e} in cosine\n  " + "\n  ".join(map(repr, self.texts))


@dataclass(frozen=True)
class TextMatching(EachVector[TextMatched]):
    """A finding for each plain update and each opened sum, of a character model.

    method      dlg, idlg, tag or lamp, see above
    iterations  of the descent, in all
    changes     of the text tried, in all, by lamp
    turns       of descent and changes, by lamp
    length      of the texts in characters; None reads it off the rank of the recurrent weight's gradient
    """

    method: str = "lamp"
    iterations: int = 120
    changes: int = 2400
    turns: int = 3
    length: int | None = None
    seed: int = 0

    name: ClassVar[str] = "matching_text"

    def __post_init__(self) -> None:
        check_method(self.method, METHODS)

    def read(self, observed: Observed, vector: Vector) -> TextMatched:
        """The texts in one vector, taken as the gradient of one step."""
        if not isinstance(observed.model, CharModel):
            raise NotReadable("the run's model is no character model: this attack searches for its text")
        names, search = observed.words, TextSearch(self, observed, vector)
        ids = search.lamp() if self.method == "lamp" else search.descended()
        texts = tuple("".join(names[i] for i in row) for row in ids)
        return TextMatched(self.name, vector.about, vector.round, texts, search.distance(ids))


def text_length(observed: Observed, vector: Vector) -> int:
    """Characters in each of a batch's texts: together they put one less each into the rank of the gradient."""
    _, span = Span.left(observed, vector)
    if not 0 < span.rank < span.hidden:
        raise NotReadable(f"the texts fill {span.rank} of {many(span.hidden, 'hidden unit')}: their length is not told")
    return round(span.rank / observed.examples(vector)) + 1


class TextSearch:
    """The search for the text behind one vector; a point is the logits of soft characters (batch, length + 1, V)."""

    def __init__(self, attack: TextMatching, observed: Observed, vector: Vector):
        self.attack = attack
        self.seen = Seen(observed, vector)
        self.rng = np.random.default_rng(attack.seed)
        alphabet = self.seen.model.embedding.weight.shape[0]
        self.shape = (observed.examples(vector), (attack.length or text_length(observed, vector)) + 1, alphabet)
        self.possible = np.arange(alphabet)
        self.mask = np.zeros(self.shape[1:])
        if attack.method in ("idlg", "lamp"):
            self.possible = np.flatnonzero(self.seen.parts[-1] < 0)  # the labels, see `labels`
            if not self.possible.size:
                raise NotReadable("the last bias names no character that came next: its gradient is no text's")
            self.mask[1:] = EXCLUDED
            self.mask[1:, self.possible] = 0.0

    def descended(self) -> np.ndarray:
        """The texts (batch, length + 1) that a descent from a random point ends in."""
        start = 0.1 * self.rng.normal(size=self.shape).ravel()
        if self.attack.method == "tag":
            return self._read(adam(self.tag, start, self.attack.iterations))
        return self._read(lbfgs(self.squared, start, self.attack.iterations))

    def lamp(self) -> np.ndarray:
        """The texts that descents and changes of the text end in, turn by turn."""
        point = 0.1 * self.rng.normal(size=self.shape)
        best, least = self._read(point), np.inf
        for _ in range(self.attack.turns):
            ids = self._read(lbfgs(self.cosine, point.ravel(), self.attack.iterations // self.attack.turns))
            for _ in range(self.attack.changes // self.attack.turns):
                distance = self.distance(ids)
                if distance < least:
                    best, least = ids, distance
                if least < FOUND:
                    return best
                ids = self._changed(best)
            point = SURE * np.eye(self.shape[2])[best]
        return best

    def distance(self, ids: np.ndarray) -> float:
        """The cosine distance of the gradient of texts (batch, length + 1)."""
        _, mine = self.seen.model.gradient(Arrays(ids[:, :-1], ids[:, 1:]))
        return float(1.0 - mine @ self.seen.gradient / (np.linalg.norm(mine) * self.seen.length))

    def _changed(self, ids: np.ndarray) -> np.ndarray:
        """The texts with one of them changed: two places swapped, a piece moved, or one dropped and another put in."""
        texts = ids.copy()
        row = self.rng.integers(len(texts))
        text = texts[row]
        first, last = np.sort(self.rng.choice(len(text), 2, replace=False))
        kind = self.rng.integers(3)
        if kind == 0:
            text[[first, last]] = text[[last, first]]
        elif kind == 1:
            rest = np.delete(text, slice(first, last))
            texts[row] = np.insert(rest, self.rng.integers(len(rest) + 1), text[first:last])
        else:
            rest = np.delete(text, self.rng.integers(len(text)))
            texts[row] = np.insert(rest, self.rng.integers(len(text)), self.rng.choice(self.possible))
        return texts

    def _read(self, point: np.ndarray) -> np.ndarray:
        """The likeliest character at each place (batch, length + 1)."""
        ids: np.ndarray = (point.reshape(self.shape) + self.mask).argmax(axis=-1)
        return ids

    def _gradients(self, point: Tensor) -> tuple[Tensor, ...]:
        batch, places, _ = self.shape
        soft = F.softmax(point.reshape(*self.shape) + self.mask, dim=-1).swapaxes(0, 1)  # (places, batch, alphabet)
        model = self.seen.model
        outputs, _ = model.recurrent(soft[:-1] @ model.embedding.weight)
        logp = F.log_softmax(model.head(outputs), dim=-1)
        return self.seen.gradients(-(soft[1:] * logp).sum() / (batch * (places - 1)))

    def squared(self, point: Tensor) -> Tensor:
        return self.seen.squared(self._gradients(point))

    def tag(self, point: Tensor) -> Tensor:
        mine = self._gradients(point)
        found: Tensor = self.seen.squared(mine) + ABSOLUTE * self.seen.absolute(mine)
        return found

    def cosine(self, point: Tensor) -> Tensor:
        return self.seen.cosine(self._gradients(point))
