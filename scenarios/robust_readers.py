"""Sixty people with twenty handwritten digits each, six of them malicious: what both stories of robust rules train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aggregator import Aggregator, History
from clients import InlinePool
from clients.behaviours import infiltrate
from fedlearn.autograd import no_grad
from fedlearn.datasets import PARTITIONS, load_samples
from fedlearn.datasets.dense import split_samples
from fedlearn.datasets.examples import Arrays
from fedlearn.metrics import class_metrics
from fedlearn.models.base import Model
from fedlearn.models.mlp import MLP
from fedlearn.secure.base import Protection
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from scenarios.command.options import Options
from scenarios.digits import Readers

PEOPLE, CREW, EACH, CLASSES = 60, 6, 20, 10


@dataclass(frozen=True, eq=False)
class Federation:
    """The people, who hold their digits dealt in one way, and public images to measure on."""

    options: Options
    about: dict[str, Any]
    people: Readers
    exam: Arrays

    @classmethod
    def of(cls, options: Options, partition: str | None = None) -> Federation:
        """People with digits. partition: None draws each person's digits from all."""
        digits = load_samples("digits")
        train, public = split_samples(digits, seed=options.seed)
        rng = stream(options.seed, "partition")
        rows: np.ndarray | Sequence[np.ndarray] = rng.integers(len(train), size=(PEOPLE, EACH), dtype=np.int32)
        if partition is not None:
            rows = PARTITIONS.parse(partition).split(train.labels, None, PEOPLE, rng)
        about = {"name": digits.name, "sha256": digits.sha256, "synthetic": digits.synthetic}
        return cls(options, about, Readers(train.examples(), rows), public.examples())

    def train(
        self,
        malicious: str | None = None,
        robust: str | None = None,
        group_size: int | None = None,
        protection: Protection | str = "none",
        rounds: int | None = None,
    ) -> History:
        """The course of a run. malicious: as for --malicious; robust: as for --robust, None for the mean."""
        options, people = self.options, self.people
        crew = people if malicious is None else infiltrate(
            people, malicious, cohort=PEOPLE, seed=options.seed, classes=CLASSES
        )  # fmt: skip
        aggregator = Aggregator(
            MLP((64, 32, CLASSES), rng=stream(options.seed, "model")),
            FedAvg(options.epochs, options.batch_size, options.lr, max_weight=EACH),
            protection, seed=options.seed, evaluate=self._evaluate, evaluate_every=rounds or options.rounds,
            robust=robust, group_size=group_size,
        )  # fmt: skip
        return aggregator.fit(InlinePool(crew), rounds or options.rounds, progress=False)

    def _evaluate(self, model: Model) -> dict[str, float]:
        with no_grad():
            return class_metrics(model(*self.exam.inputs).numpy(), self.exam.targets)
