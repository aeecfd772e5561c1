"""Thousands of clients with twenty digits each: the small workload that simulators are compared on.

Scikit-learn's images of digits are split once; the test part is public and stays with this scenario. Each client
holds views of twenty images of the rest, drawn with replacement by the seed, and a hundred clients a round train a
network of 2,410 weights for one epoch. With --partition the images are dealt instead, each to one client.

    fedlearn run digits                               1,000 clients
    fedlearn run digits --clients 100000              takes little longer: a client is made when it is sampled
    fedlearn run digits --partition dirichlet:0.1 --clients 100 --cohort 10
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clients import Client
from fedlearn.autograd import no_grad
from fedlearn.datasets import PARTITIONS
from fedlearn.datasets.dataset import CLASSES
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.examples import Arrays, View
from fedlearn.datasets.partitions import Partitioner
from fedlearn.errors import BadInput
from fedlearn.logs import TOLD
from fedlearn.metrics import class_metrics
from fedlearn.modelfile import described
from fedlearn.models.base import Model
from fedlearn.models.kinds import Features
from fedlearn.seeding import stream
from fedlearn.training.stacks import StackedViews
from fedlearn.wording import many
from scenarios.command import build, reading
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.rules import trusted_of
from scenarios.command.start import start
from scenarios.command.takes import Varies, for_federation
from scenarios.surveying import surveyed

log = logging.getLogger(__name__)
CLIENTS = {False: 1000, True: 100}  # by whether --partition deals the data
EXAMPLES, COHORT = 20, 100


@dataclass(frozen=True, eq=False)
class Readers:
    """Clients who hold rows of the same images: `rows[i]` are the numbers of client i's."""

    images: Arrays
    rows: np.ndarray | Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Client:
        return Client(f"reader-{number}", View(self.images, self.rows[number]))

    def together(self, numbers: Sequence[int]) -> StackedViews | None:
        """The examples of many clients in one piece, where all have equally many."""
        rows = self.rows
        return StackedViews.at(self.images, rows[np.asarray(numbers)]) if isinstance(rows, np.ndarray) else None


TAKES = for_federation(
    reads=(Features,), task=CLASSES,
    data="digits", model="mlp", dim=Varies("as wide as the model is by itself: 32 of mlp, 8 channels of conv"),
    clients=Varies(f"{CLIENTS[False]}, or {CLIENTS[True]} with --partition, or all users with natural"),
    partition=None, rounds=20, protection="none", epochs=1, batch_size=10, lr=0.1, kernels="numpy",
    examples_per_client=Varies(f"{EXAMPLES}, or all that --partition deals"),
    cohort=Varies(f"{COHORT}, or all clients where there are fewer"), **reading.NUMBERS,
)  # fmt: skip


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    if options.partition is not None and options.examples_per_client is not None:
        raise BadInput("--partition deals all images, --examples-per-client draws some: give one of the two")
    begun = start(options, TAKES.reads)
    # The test part is public and stays with this scenario.
    samples, train, test, scale = reading.samples(options, begun.classes, begun.scale)
    options = who_takes_part(options, train)
    readers = Readers(train.examples(), who_holds_what(options, train))
    first = trusted_of(options, len(test))
    trusted, exam = test.examples().take(slice(first)), test.examples().take(slice(first, None))
    model = begun.model(Features(samples.features.shape[1], samples.classes), samples.class_names)

    def evaluate(model: Model) -> dict[str, float]:
        with no_grad():
            return class_metrics(model(*exam.inputs).numpy(), exam.targets)

    about = {"name": samples.name, "sha256": samples.sha256, "synthetic": samples.synthetic}
    about |= {} if options.test_data is None else {"test_sha256": test.sha256}
    trained = build.summary(options)
    folder = build.folder(options, "digits", about, described("digits", model, {}, samples.class_names, scale, trained))
    aggregator = build.aggregator(
        options, model, readers, evaluate, folder, max_weight=options.examples_per_client, trusted=trusted,
        evaluate_clients=surveyed(options, readers, classes=samples.classes),
    )  # fmt: skip
    clients = build.infiltrated(options, readers, classes=samples.classes)
    history = aggregator.fit(build.pool(options, clients, folder), options.rounds, progress=False)

    updates = sum(record.clients_ok for record in history.rounds)
    return Outcome.of(
        history, options, folder,
        claims=[
            Claim("updates_per_second", updates / history.seconds, "1/s"),
            Claim("sum_of_absolute_weights", float(np.abs(model.vector).sum(dtype=np.float64))),
        ],
        story=f"{many(len(readers), 'client')}, {options.cohort} a round, trained a model that is right about "
        f"{history.metrics['accuracy']:.0%} of the held-out part of {samples.name}, in {history.seconds:.2f} s: "
        f"{updates / history.seconds:,.0f} client updates a second.",
    )  # fmt: skip


def who_takes_part(options: Options, train: Samples) -> Options:
    """The options with clients, the cohort, and what each client has."""
    dealt, users = options.partition is not None, len(set(train.users or ()))
    if options.partition == "natural" and users:
        options = options.filled(clients=users)
    elif users:
        apart = many(users, "user is", "users are")
        log.log(TOLD, "%s not kept together: --partition natural makes each a client", apart)
    options = options.filled(clients=CLIENTS[dealt])
    return options.filled(cohort=min(COHORT, options.clients), examples_per_client=None if dealt else EXAMPLES)


def who_holds_what(options: Options, train: Samples) -> np.ndarray | Sequence[np.ndarray]:
    """The rows of the training part that each client holds."""
    rng = stream(options.seed, "partition")
    if options.partition is not None:
        partition: Partitioner = PARTITIONS.parse(options.partition)
        return partition.split(train.labels, train.users, options.clients, rng)
    return rng.integers(len(train), size=(options.clients, options.examples_per_client), dtype=np.int32)


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("digits")
