"""Stories that a user runs: choose data, model, clients and protection; train, attack, show the result."""

from __future__ import annotations

from fedlearn.registry import Registry

BENCHMARKS = Registry(
    "benchmark",
    {
        "crypto": ("scenarios.bench.crypto:run", "secure sums: values a second, bytes, error, beside other libraries"),
    },
)

SCENARIOS = Registry(
    "scenario",
    {
        "spam": ("scenarios.spam:run", "a spam filter trained by people who show nobody their mail"),
        "leak_embedding": (
            "scenarios.leak_embedding:run",
            "what one update of a word model tells a curious aggregator",
        ),
    },
)
