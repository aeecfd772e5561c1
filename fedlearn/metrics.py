"""How good a classifier is, from its logits on public data."""

from __future__ import annotations

import numpy as np


def binary_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Loss (mean binary cross-entropy, nats), accuracy and F1 of class 1. Both arguments (n,); labels 0 or 1."""
    logits = np.asarray(logits, np.float64)
    truth = np.asarray(labels) > 0.5
    said = logits > 0
    hits = int(np.count_nonzero(said & truth))
    wrong = int(np.count_nonzero(said != truth))
    loss = np.mean(np.logaddexp(0.0, logits) - logits * truth)
    return {
        "loss": float(loss),
        "accuracy": 1 - wrong / len(truth),
        "f1": 2 * hits / max(1, 2 * hits + wrong),
    }


def class_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Loss (mean cross-entropy, nats) and accuracy of logits (n, classes) for classes (n,), whole numbers."""
    logits = np.asarray(logits, np.float64)
    logits = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
    return {"loss": float(losses.mean()), "accuracy": float((logits.argmax(axis=1) == labels).mean())}


def confusion(said: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How many of class i (rows) were taken for class j (columns), int64 (classes, classes). Arguments (n,)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (np.asarray(labels).astype(np.int64), np.asarray(said)), 1)
    return counts
