"""How good a finding is, against a truth that only the scenario knows. Attacks themselves import none of this.

Scores raise `BadInput` for what cannot be scored (nothing, nan, text where numbers are meant), `ShapeError` for arrays
that do not fit together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from fedlearn.checked import real_array, whole_array
from fedlearn.configured import real_number, whole_number
from fedlearn.errors import BadInput, ShapeError
from fedlearn.wording import many

T = TypeVar("T")


@dataclass(frozen=True)
class Unmixed:
    """Of messages with at least two words of their own (`eligible`, a share of all), the share whose own words were
    found, exactly, as one group; and of (message, word) pairs, precision and recall."""

    isolated: float
    precision: float
    recall: float
    eligible: float


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """The area under the ROC curve: how often a member scores above another, ties counted half (Mann-Whitney)."""
    members, others = _scores(members, others)
    ordered = np.sort(others)
    below = np.searchsorted(ordered, members, "left") + np.searchsorted(ordered, members, "right")
    return float(np.mean(below) / (2 * len(others)))


def roc(members: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every threshold, from the strictest (0, 0) to the laxest (1, 1)."""
    members, others = _scores(members, others)
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    false = [0.0, *(float(np.mean(others >= at)) for at in thresholds)]
    true = [0.0, *(float(np.mean(members >= at)) for at in thresholds)]
    return np.array(false), np.array(true)


def true_positives_at(members: np.ndarray, others: np.ndarray, false_rate: float) -> float:
    """The largest true positive rate at a false positive rate of at most `false_rate`."""
    at_most = real_number("false_rate", false_rate, least=0.0, usual="a share, such as 0.01")
    false, true = roc(members, others)
    return float(true[false <= at_most].max())


def adjusted_rand(truth: Sequence[int], found: Sequence[int]) -> float:
    """How far two groupings of the same things agree, 1 wholly, 0 as by chance (Hubert and Arabie 1985)."""
    one, other = whole_array("truth", truth, 1), whole_array("found", found, 1)
    if len(one) != len(other):
        raise ShapeError(f"groupings of {len(one)} and of {many(len(other), 'thing')}: both must be of the same")

    def pairs(counts: Counter[Any]) -> float:
        return sum(n * (n - 1) / 2 for n in counts.values())

    both = pairs(Counter(zip(one.tolist(), other.tolist(), strict=True)))
    alike, alike_found = pairs(Counter(one.tolist())), pairs(Counter(other.tolist()))
    expected = alike * alike_found / max(1.0, len(one) * (len(one) - 1) / 2)
    most = (alike + alike_found) / 2
    return 1.0 if most == expected else float((both - expected) / (most - expected))


def rouge(truth: Sequence[object], found: Sequence[object], n: int) -> float:
    """ROUGE-N F-measure (Lin 2004): n-grams in common, over the mean number of n-grams of the two.

    A text is a sequence of words; a string is one of characters.
    """
    size = whole_number("n", n, least=1)
    texts = [_members("truth", truth), _members("found", found)]
    if size > max(map(len, texts)):
        return float(texts[0] == texts[1])
    grams = [Counter(zip(*(text[i:] for i in range(size)), strict=False)) for text in texts]
    total = sum(grams[0].values()) + sum(grams[1].values())
    return 2 * sum((grams[0] & grams[1]).values()) / total


def psnr(truth: np.ndarray, found: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, for values in [0, 1]; both arrays of one shape."""
    truth, found = real_array("truth", truth), real_array("found", found)
    if truth.shape != found.shape:
        raise ShapeError(f"truth of shape {truth.shape} and found of shape {found.shape}: they must be of one")
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.abs(truth - found)
    if not truth.size or not np.isfinite(errors).all():
        raise BadInput(f"{many(truth.size, 'number')}: at least one is needed, and all of them finite")
    largest = float(errors.max())
    if largest == 0:
        return float("inf")
    share = float(np.mean(np.square(errors / largest)))  # no square overflows, and none is too small
    return float(-10 * np.log10(share) - 20 * np.log10(largest))


def unmixed(truth: Sequence[set[str]], private: Sequence[Sequence[str]], messages: Sequence[set[str]]) -> Unmixed:
    """How well recovered messages, `private` the words each has to itself, match the true ones."""
    true, claims = _messages("truth", truth), _messages("messages", messages)
    groups = [set(words) for words in _messages("private", private)]
    if not true:
        raise BadInput("no true message: give at least one")
    held = Counter(word for message in true for word in message)
    unique_words = [{word for word in message if held[word] == 1} for message in true]
    eligible = [words for words in unique_words if len(words) > 1]
    best = [0] * len(true)
    right = 0
    for found in claims:
        common = [len(set(found) & message) for message in true]
        match = int(np.argmax(common))
        right += common[match]
        best[match] = max(best[match], common[match])
    claimed = sum(map(len, claims))
    return Unmixed(
        isolated=sum(words in groups for words in eligible) / max(1, len(eligible)),
        precision=right / max(1, claimed),
        recall=sum(best) / max(1, sum(map(len, true))),
        eligible=len(eligible) / len(true),
    )


def _scores(members: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n,) and (m,) that can be ranked, of at least one each."""
    one, other = real_array("scores of members", members, 1), real_array("scores of others", others, 1)
    if not (one.size and other.size):
        raise BadInput(
            f"scores of {many(one.size, 'member')} and of {many(other.size, 'other')}: at least one of each is needed"
        )
    return one, other


def _members(name: str, values: Iterable[T]) -> list[T]:
    """List the members of a sequence or a set; raises `BadInput` for others, and for members that cannot be counted."""
    try:
        members = list(values)
        set(members)
    except TypeError as error:
        raise BadInput(f"{name} is {values!r:.80}: a sequence of words or numbers is needed ({error})") from None
    return members


def _messages(name: str, messages: Iterable[Collection[str]]) -> list[set[str]]:
    """Each message's words; raises `BadInput` for a text in the place of its words."""
    if isinstance(messages, str) or not isinstance(messages, Iterable):
        raise BadInput(f"{name} is {messages!r:.80}: a sequence of messages is needed, each its words")
    each = list(messages)
    for message in each:
        if isinstance(message, str):
            raise BadInput(f"{name} holds {message!r:.80}: give each message as its words")
    return [set(_members(name, message)) for message in each]
