"""Ten blurred digits of 8 x 8 dots, unequal parts of them at each node, and softmax regression."""

from __future__ import annotations

import numpy as np

CLASSES, DOTS = 10, 64


def examples(node: int) -> tuple[np.ndarray, np.ndarray]:
    """What a node has: 60 and more images, float32 (n, 64), and their labels. Node -1 has those to test with."""
    prototypes = np.random.default_rng(7).random((CLASSES, DOTS))
    draw = np.random.default_rng([11, node + 1])
    labels = draw.integers(CLASSES, size=1000 if node < 0 else 60 + 20 * node)
    images = prototypes[labels] + 0.4 * draw.standard_normal((len(labels), DOTS))
    return images.astype(np.float32), labels


def beginning() -> dict[str, np.ndarray]:
    return {"weights": np.zeros((DOTS, CLASSES), np.float32), "bias": np.zeros(CLASSES, np.float32)}


def chances(arrays: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    scores = images @ arrays["weights"] + arrays["bias"]
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def train(arrays: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray, rate: float) -> float:
    """Five steps in place; the mean loss before the last of them, in nats."""
    for _ in range(5):
        chance = chances(arrays, images)
        loss = -np.log(chance[np.arange(len(labels)), labels]).mean()
        chance[np.arange(len(labels)), labels] -= 1
        arrays["weights"] -= np.float32(rate) * images.T @ chance / len(labels)
        arrays["bias"] -= np.float32(rate) * chance.mean(axis=0)
    return float(loss)


def accuracy(arrays: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray) -> float:
    return float((chances(arrays, images).argmax(axis=1) == labels).mean())
