"""Points around three centres."""

import numpy as np

from fedlearn.datasets.dataset import CLASSES, GeneratedSet
from fedlearn.datasets.dense import Samples


def points():
    rng = np.random.default_rng(5)
    labels = np.arange(240) % 3
    features = 3 * np.eye(3, 6)[labels] + rng.standard_normal((240, 6))
    return Samples.of("blobs", features, labels, source="drawn from a seed", synthetic=True)


BLOBS = GeneratedSet(
    name="blobs",
    task=CLASSES,
    records="240 points",
    clients="none",
    licence="none",
    origin="drawn from a seed",
    generate=points,
)
