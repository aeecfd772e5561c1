"""How good a classifier is, from its logits on public data.

An example of which a logit is nan counts as wrong; the loss is nan then.
Raises `BadInput` for no examples, labels that are no classes, or anything but numbers; `ShapeError` for other shapes.
"""

from __future__ import annotations

import numpy as np

from fedlearn.checked import real_array, same_length, whole_array
from fedlearn.classes import names_a_class
from fedlearn.configured import whole_number
from fedlearn.errors import BadInput

MOST_CLASSES = 10_000  # of a table of answers, which has the square of it


def binary_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Loss (mean binary cross-entropy, nats), accuracy and F1 of class 1. Both arguments (n,); labels 0 or 1."""
    logits, labels = real_array("logits", logits, 1, nan=True), real_array("labels", labels, 1)
    count = same_length(logits=logits, labels=labels)
    if not np.isin(labels, (0, 1)).all():
        raise BadInput(f"labels go from {labels.min():g} to {labels.max():g}: each must be 0 or 1")
    truth = labels == 1
    predicted = logits > 0
    hits = int(np.count_nonzero(predicted & truth))
    wrong = int(np.count_nonzero((predicted != truth) | ~names_a_class(logits)))
    with np.errstate(invalid="ignore"):
        loss = np.mean(np.logaddexp(0.0, np.where(truth, -logits, logits)))
    return {
        "loss": float(loss),
        "accuracy": 1 - wrong / count,
        "f1": 2 * hits / max(1, 2 * hits + wrong),
    }


def class_metrics(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Loss (mean cross-entropy, nats) and accuracy of logits (n, classes) for classes (n,), whole numbers."""
    logits = real_array("logits", logits, 2, nan=True)
    labels = whole_array("labels", labels, 1, below=logits.shape[1])
    rows = np.arange(same_length(logits=logits, labels=labels))
    with np.errstate(invalid="ignore", over="ignore"):  # infinite logits, and such as are nearly
        top = logits.T.copy().max(axis=0)  # of each of many short rows: quicker this way; nan where the row has one
        right = (logits.argmax(axis=1) == labels) & names_a_class(top)
        logits = logits - top[:, None]
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[rows, labels]
    return {"loss": float(np.add.reduce(losses) / len(rows)), "accuracy": float(np.count_nonzero(right) / len(rows))}


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix, int64 (classes, classes): how many of class i (rows) were predicted as j. Arguments (n,)."""
    count = whole_number("the number of classes", classes, least=1, most=MOST_CLASSES)
    predicted, labels = whole_array("answers", predicted, 1, below=count), whole_array("labels", labels, 1, below=count)
    same_length(answers=predicted, labels=labels)
    counts = np.zeros((count, count), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts
