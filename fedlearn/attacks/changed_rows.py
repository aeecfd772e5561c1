"""The words of an update: only rows of words that occurred in training have moved.

An embedding row has a gradient only where its word occurs, so the rows that changed name the words (Melis et
al. 2019, "Exploiting Unintended Feature Leakage", section 4.1; Trask, Grokking Deep Learning, ch. 15). It
needs no optimisation and no knowledge of the model's weights. It fails on encrypted updates, and finds only
the union of all words in an opened sum.
"""

from __future__ import annotations

import numpy as np

from fedlearn.attacks.observed import Finding, NotReadable, Observed
from fedlearn.protocol import PartyView


def changed_rows(view: PartyView) -> list[Finding]:
    """A finding for each plain update and each opened sum in the view: the words whose rows moved.

    Raises `NotReadable` where the view holds neither.
    """
    observed = Observed(view)
    words = observed.words
    findings = []
    for vector in observed.readable():
        rows = observed.parameter(vector, "words.weight")
        moved = np.flatnonzero(np.any(rows != 0, axis=1))
        found = tuple(words[row] for row in moved)
        findings.append(Finding("changed_rows", vector.about, vector.round, found))
    if not findings:
        raise NotReadable(
            "every update in this transcript is encrypted and no sum was opened: there is nothing to read"
        )
    return findings
