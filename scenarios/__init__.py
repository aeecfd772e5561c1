"""Stories that a user runs: choose data, model, clients and protection; train, attack, show the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from scenarios.estimator import FederatedSpamFilter

__all__ = ["BENCHMARKS", "SCENARIOS", "FederatedSpamFilter"]
__getattr__ = lazy(__name__, {"FederatedSpamFilter": "estimator"})

BENCHMARKS = Registry(
    "benchmark",
    {
        name: (f"scenarios.bench.{name}:run", summary)
        for name, summary in {
            "crypto": "secure sums: values a second, bytes, error, beside other libraries",
            "sums": "encrypted updates of few bits beside those of 24: how many a second, bytes, accuracy",
            "simulation": "client updates a second, beside floors in bare NumPy and other simulators",
            "privacy": "exact noise beside OpenDP, and the seconds of an epsilon",
            "robust": "robust rules beside byzfl, one thread each",
            "engine": "training steps of the engine beside PyTorch and bare NumPy, one thread each",
        }.items()
    },
)

SCENARIOS = Registry(
    "scenario",
    {
        name: (f"scenarios.{name}:run", summary)
        for name, summary in {
            "spam": "a spam filter trained by people who show nobody their mail",
            "count_spam": "a spam filter from one encrypted sum of counted words, without training",
            "digits": "thousands of small clients learn to read digits: how fast, how much memory",
            "shakespeare": "speakers of plays train a character model, encrypted",
            "costs": "bytes and seconds of a round by protection, over simulated links",
            "leak_embedding": "what one update of a word model tells a curious aggregator",
            "leak_words": "the words of one update, under SGD, Adam, weight decay",
            "leak_unmix": "whole messages out of one update, and out of an opened sum",
            "leak_sum": "what a sum of ever more people still tells, and what not",
            "leak_sender": "messages out of one opened sum, sorted by sender",
            "leak_membership": "was this message trained on? by 1, 10, 50 people",
            "leak_lstm": "text out of one update of a character LSTM, exactly",
            "leak_local_steps": "the same after several local steps, peeled off",
            "leak_matching": "the same by trying: DLG, iDLG, TAG, LAMP side by side",
            "leak_digits": "images out of one update: divided out, or searched for",
            "leak_myths": "8 bits, 4 bits, signs, the largest tenth: words still named",
            "leak_counts": "words out of opened counts, one's own by asking twice; with noise, guesses",
            "leak_differencing": "colluders, differences, two models, replays: stopped or not",
            "dp_price": "what a spam filter loses to noise at epsilon 1, 3, 8; usual mistakes",
            "dp_audit": "canaries audit a claim of privacy, and catch builds that lie",
            "poison_backdoor": "two of twenty people implant a trigger word in a spam filter",
            "robust_rules": "which robust rule stands which attack, and what it costs without one",
            "robust_vs_secret": "groups of 1 to 10: what they hide, and what a rule still stands",
            "book_autograd": "Trask ch. 13: the engine's toys, and what must not break",
            "book_gradient_check": "Weidman ch. 1: every gradient measured",
            "book_spirals": "the spiral, with a momentum that is stored",
            "book_digits": "Weidman ch. 3-4: from squared errors to convolutions",
            "book_words": "Trask ch. 11-12: word vectors, neighbours and analogies",
            "book_shakespeare": "Trask ch. 14, Weidman ch. 6: RNN, GRU and LSTM",
            "book_sentiment": "a message judged by the last state of an LSTM",
        }.items()
    },
)
