"""How good a finding is, against a truth that only the scenario knows. Attacks themselves import none of this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
    ordered = np.sort(others)
    below = np.searchsorted(ordered, members, "left") + np.searchsorted(ordered, members, "right")
    return float(np.mean(below) / (2 * len(others)))


def roc(members: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every threshold, from the strictest (0, 0) to the laxest (1, 1)."""
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    false = [0.0, *(float(np.mean(others >= at)) for at in thresholds)]
    true = [0.0, *(float(np.mean(members >= at)) for at in thresholds)]
    return np.array(false), np.array(true)


def true_positives_at(members: np.ndarray, others: np.ndarray, false_rate: float) -> float:
    """The largest true positive rate at a false positive rate of at most `false_rate`."""
    false, true = roc(members, others)
    return float(true[false <= false_rate].max())


def adjusted_rand(truth: Sequence[int], found: Sequence[int]) -> float:
    """How far two groupings of the same things agree, 1 wholly, 0 as by chance (Hubert and Arabie 1985)."""

    def pairs(counts: Counter) -> float:
        return sum(n * (n - 1) / 2 for n in counts.values())

    both = pairs(Counter(zip(truth, found, strict=True)))
    one, other = pairs(Counter(truth)), pairs(Counter(found))
    expected = one * other / max(1.0, len(truth) * (len(truth) - 1) / 2)
    most = (one + other) / 2
    return 1.0 if most == expected else float((both - expected) / (most - expected))


def rouge(truth: Sequence[object], found: Sequence[object], n: int) -> float:
    """ROUGE-N F-measure (Lin 2004): n-grams in common, over the mean number of n-grams of the two."""
    grams = [Counter(zip(*(text[i:] for i in range(n)), strict=False)) for text in (truth, found)]
    total = sum(grams[0].values()) + sum(grams[1].values())
    return 2 * sum((grams[0] & grams[1]).values()) / total if total else float(list(truth) == list(found))


def psnr(truth: np.ndarray, found: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, for values in [0, 1]."""
    error = float(np.mean(np.square(truth.astype(np.float64) - found)))
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def unmixed(truth: Sequence[set[str]], private: Sequence[Sequence[str]], messages: Sequence[set[str]]) -> Unmixed:
    """How well recovered messages, `private` the words each has to itself, match the true ones."""
    held = Counter(word for message in truth for word in message)
    own = [{word for word in message if held[word] == 1} for message in truth]
    eligible = [words for words in own if len(words) > 1]
    groups = [set(words) for words in private]
    best = [0] * len(truth)
    right = 0
    for found in messages:
        common = [len(found & message) for message in truth]
        match = int(np.argmax(common))
        right += common[match]
        best[match] = max(best[match], common[match])
    claimed = sum(map(len, messages))
    return Unmixed(
        isolated=sum(words in groups for words in eligible) / max(1, len(eligible)),
        precision=right / max(1, claimed),
        recall=sum(best) / max(1, sum(map(len, truth))),
        eligible=len(eligible) / len(truth),
    )
