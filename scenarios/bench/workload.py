"""The small workload that `bench simulation` and other libraries run: clients of twenty digits each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.datasets import load_samples
from fedlearn.datasets.dense import split_samples
from fedlearn.datasets.examples import Arrays
from fedlearn.seeding import stream
from scenarios.digits import Readers

COHORT, ROUNDS, EXAMPLES, BATCH, LR = 100, 20, 20, 10, 0.1
CODEC = FixedPoint(bits=24, bound=4.0, addends=COHORT)


@dataclass(frozen=True)
class Workload(Readers):
    """The clients, and the public examples that the model is judged on."""

    exam: Arrays


def workload(clients: int) -> Workload:
    """So many clients, each with `EXAMPLES` digits drawn from the training part by seed 0."""
    train, test = split_samples(load_samples("digits"))
    rows = stream(0, "partition").integers(len(train), size=(clients, EXAMPLES), dtype=np.int32)
    return Workload(train.examples(), rows, test.examples())
