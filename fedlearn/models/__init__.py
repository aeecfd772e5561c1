"""Models that a scenario picks by name; `MODELS` is where they are named."""

from __future__ import annotations

from fedlearn.registry import Registry

MODELS = Registry(
    "model",
    {
        "spam": ("fedlearn.models.spam:SpamClassifier", "bag of word embeddings and a decision: spam or not"),
    },
)
