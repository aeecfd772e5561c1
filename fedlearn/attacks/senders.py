"""Which messages of an opened sum have the same sender.

What a message does to its words is the head's weights, times a number of its own, added up over the local steps;
between its steps each client moves its own copy of the head. So the directions of A_i (see `unmix`) lie close
together for messages of one client and apart for those of two. It needs several local steps (after one, all heads
are the global one), and messages with three words of their own; it tells groups, not names: one message that is known
by other means names the rest of its group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.attacks.base import Finding, NotReadable
from fedlearn.attacks.each import EachVector
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.attacks.unmix import equal_groups
from fedlearn.wording import many

OWN_WORDS = 3  # of a message to be sorted; two words may well occur in the same two messages
FITS_NOBODY = 15.0  # times the median distance to the nearest: words that messages of two senders have in common


@dataclass(frozen=True, eq=False)
class SendersFound(Finding):
    """Messages by sender: senders[i] is the number of the group that messages[i], some of its words, belongs to."""

    messages: tuple[tuple[str, ...], ...]
    senders: np.ndarray
    directions: np.ndarray

    def summary(self) -> str:
        groups = [[" ".join(m) for m, s in zip(self.messages, self.senders, strict=True) if s == g] for g in self._all]
        return f"{many(len(groups), 'sender')}\n  " + "\n  ".join(" | ".join(group) for group in groups)

    @property
    def _all(self) -> list[int]:
        return sorted(set(self.senders.tolist()))


@dataclass(frozen=True)
class Senders(EachVector[SendersFound]):
    """A finding for each opened sum: its messages in as many groups as it has clients."""

    name: ClassVar[str] = "senders"

    def read(self, observed: Observed, vector: Vector) -> SendersFound:
        """The groups in one sum."""
        if not vector.is_sum:
            raise NotReadable("this transcript holds no opened sum: of a plain update the sender is known")
        groups = equal_groups(observed, vector)
        messages = [i for i, words in enumerate(groups.words) if len(words) >= OWN_WORDS]
        if len(messages) <= vector.addends:
            raise NotReadable(
                f"found {many(len(messages), 'message')} of {many(vector.addends, 'client')}: too few to sort"
            )
        directions = groups.moved[messages] / np.linalg.norm(groups.moved[messages], axis=1, keepdims=True)
        apart = 1.0 - np.abs(directions @ directions.T)
        nearest = (apart + np.eye(len(apart))).min(axis=1)
        close = np.flatnonzero(nearest <= FITS_NOBODY * np.median(nearest))
        senders = average_linkage(apart[np.ix_(close, close)], vector.addends)
        directions, messages = directions[close], [messages[i] for i in close]
        words = tuple(groups.words[i] for i in messages)
        return SendersFound(self.name, vector.about, vector.round, words, senders, directions)


def average_linkage(distances: np.ndarray, groups: int) -> np.ndarray:
    """The group (n,) of each of n things: the two nearest groups are joined until `groups` are left.

    Distances (n, n) between groups are means over pairs (UPGMA, Sokal and Michener 1958).
    """
    apart = distances.astype(np.float64)
    np.fill_diagonal(apart, np.inf)
    sizes = np.ones(len(apart))
    label = np.arange(len(apart))
    for _ in range(len(apart) - groups):
        i, j = np.unravel_index(int(np.argmin(apart)), apart.shape)
        joined = (sizes[i] * apart[i] + sizes[j] * apart[j]) / (sizes[i] + sizes[j])
        apart[i], apart[:, i] = joined, joined
        apart[j], apart[:, j] = np.inf, np.inf
        apart[i, i] = np.inf
        sizes[i] += sizes[j]
        label[label == label[j]] = label[i]
    return np.unique(label, return_inverse=True)[1]
