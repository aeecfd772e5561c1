"""Attacks: a curious party reads its own transcript; nothing else is given to an attack.

An attack is an object with a name whose `run` makes findings of a `PartyView` (what one party sent and received in a
recorded run). `ATTACKS` names those that need no more than the view; a game's attack is told its candidates too.
"""

from __future__ import annotations

from fedlearn.registry import Registry

ATTACKS = Registry(
    "attack",
    {
        "changed_rows": (
            "fedlearn.attacks.changed_rows:ChangedRows",
            "words of each plain update, and of each opened sum, from the rows that moved",
        ),
        "counted_words": ("fedlearn.attacks.counted_words:CountedWords", "words of opened counts, and how often"),
        "unmix": ("fedlearn.attacks.unmix:Unmix", "whole messages, from rows that moved equally and their sums"),
        "senders": ("fedlearn.attacks.senders:Senders", "which messages of an opened sum have the same sender"),
        "membership": ("fedlearn.attacks.membership:Membership", "how likely each word is to have been trained on"),
        "span": ("fedlearn.attacks.span:SpanTest", "exact text of a character LSTM or RNN, from one step"),
        "peel": ("fedlearn.attacks.peel:Peel", "the same from several local steps, one after the other"),
        "linear": ("fedlearn.attacks.linear:LinearInversion", "inputs divided out of a first linear layer"),
        "labels": ("fedlearn.attacks.labels:LabelCounts", "how many examples of each class, from the last bias"),
        "matching": (
            "fedlearn.attacks.matching:GradientMatching",
            "inputs searched for by gradients (DLG, iDLG, cosine)",
        ),
        "matching_text": (
            "fedlearn.attacks.matching_text:TextMatching",
            "text searched for by gradients (DLG, iDLG, TAG, LAMP)",
        ),
    },
    "fedlearn.attacks.base:Attack",
)
