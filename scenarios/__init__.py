"""Stories that a user runs: choose data, model, clients and protection; train, attack, show the result."""

from __future__ import annotations

from fedlearn.registry import Registry

BENCHMARKS = Registry(
    "benchmark",
    {
        "crypto": ("scenarios.bench.crypto:run", "secure sums: values a second, bytes, error, beside other libraries"),
        "simulation": ("scenarios.bench.simulation:run", "client updates a second, beside other simulators"),
        "engine": ("scenarios.bench.engine:run", "training steps of the engine beside PyTorch, one thread each"),
    },
)

SCENARIOS = Registry(
    "scenario",
    {
        "spam": ("scenarios.spam:run", "a spam filter trained by people who show nobody their mail"),
        "digits": (
            "scenarios.digits:run",
            "thousands of small clients learn to read digits: how fast, how much memory",
        ),
        "shakespeare": ("scenarios.shakespeare:run", "speakers of plays train a character model, encrypted"),
        "costs": ("scenarios.costs:run", "bytes and seconds of a round by protection, over simulated links"),
        "leak_embedding": (
            "scenarios.leak_embedding:run",
            "what one update of a word model tells a curious aggregator",
        ),
        "leak_words": ("scenarios.leak_words:run", "the words of one update, under SGD, Adam, weight decay"),
        "leak_unmix": ("scenarios.leak_unmix:run", "whole messages out of one update, and out of an opened sum"),
        "leak_sum": ("scenarios.leak_sum:run", "what a sum of ever more people still tells, and what not"),
        "leak_sender": ("scenarios.leak_sender:run", "messages out of one opened sum, sorted by sender"),
        "leak_membership": ("scenarios.leak_membership:run", "was this message trained on? by 1, 10, 50 people"),
        "leak_lstm": ("scenarios.leak_lstm:run", "text out of one update of a character LSTM, exactly"),
        "leak_local_steps": ("scenarios.leak_local_steps:run", "the same after several local steps, peeled off"),
        "leak_matching": ("scenarios.leak_matching:run", "the same by trying: DLG, iDLG, TAG, LAMP side by side"),
        "leak_digits": ("scenarios.leak_digits:run", "images out of one update: divided out, or searched for"),
        "leak_myths": ("scenarios.leak_myths:run", "8 bits, 4 bits, signs, the largest tenth: words still named"),
        "leak_differencing": (
            "scenarios.leak_differencing:run",
            "colluders, differences, two models, replays: stopped or not",
        ),
        "poison_backdoor": (
            "scenarios.poison_backdoor:run",
            "two of twenty people implant a trigger word in a spam filter",
        ),
        "book_autograd": ("scenarios.book_autograd:run", "Trask ch. 13: the engine's toys, and what must not break"),
        "book_gradient_check": ("scenarios.book_gradient_check:run", "Weidman ch. 1: every gradient measured"),
        "book_spirals": ("scenarios.book_spirals:run", "the spiral, with a momentum that is stored"),
        "book_digits": ("scenarios.book_digits:run", "Weidman ch. 3-4: from squared errors to convolutions"),
        "book_words": ("scenarios.book_words:run", "Trask ch. 11-12: word vectors, neighbours and analogies"),
        "book_shakespeare": ("scenarios.book_shakespeare:run", "Trask ch. 14, Weidman ch. 6: RNN, GRU and LSTM"),
        "book_sentiment": ("scenarios.book_sentiment:run", "a message judged by the last state of an LSTM"),
    },
)
