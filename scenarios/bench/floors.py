"""The time of bare NumPy for the same training, with nothing around it: the floors under the figures of this project.

No tape, no messages, no records, no checks: arrays, and the calls that the arithmetic needs.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from threadpoolctl import threadpool_limits

from clients import Client
from fedlearn.autograd.sparse import add_to_rows, sum_rows
from fedlearn.datasets.bags import Bags
from fedlearn.models.mlp import MLP
from fedlearn.sampling import sample_cohort
from fedlearn.seeding import LocalRandom, stream
from scenarios.bench.workload import BATCH, COHORT, EXAMPLES, LR, ROUNDS, Workload


def loop(data: Workload) -> list[np.ndarray]:
    """The workload of digits, one client after the other; returns the weights."""
    weights = _weights()
    with threadpool_limits(1):
        for round in range(1, ROUNDS + 1):
            total = [np.zeros_like(weight) for weight in weights]
            cohort = sample_cohort(0, round, len(data), COHORT)
            for number, order in zip(cohort, LocalRandom(0, round, cohort).permutation(EXAMPLES), strict=True):
                rows = data.rows[number]
                x, y = data.images.features[rows], data.images.targets[rows]
                local = [weight.copy() for weight in weights]
                for start in range(0, EXAMPLES, BATCH):
                    batch = order[start : start + BATCH]
                    step(local, x[batch], y[batch])
                for part, new, old in zip(total, local, weights, strict=True):
                    part += new - old
            for weight, part in zip(weights, total, strict=True):
                weight += part / COHORT
    return weights


def batched(data: Workload) -> list[np.ndarray]:
    """The same, a whole cohort side by side."""
    weights = _weights()
    with threadpool_limits(1):
        for round in range(1, ROUNDS + 1):
            cohort = sample_cohort(0, round, len(data), COHORT)
            orders = LocalRandom(0, round, cohort).permutation(EXAMPLES)
            rows = np.take_along_axis(np.stack([data.rows[number] for number in cohort]), orders, axis=1)
            x, y = data.images.features[rows], data.images.targets[rows]
            local = [np.repeat(weight[None], COHORT, axis=0) for weight in weights]
            for start in range(0, EXAMPLES, BATCH):
                step(local, x[:, start : start + BATCH], y[:, start : start + BATCH])
            for weight, new in zip(weights, local, strict=True):
                weight += (new - weight).mean(axis=0)
    return weights


def step(weights: list[np.ndarray], x: np.ndarray, y: np.ndarray, lr: float = LR) -> None:
    """One step of SGD of a network with one hidden layer, or of K of them: a leading axis of everything."""
    w1, b1, w2, b2 = weights
    hidden = x @ w1.swapaxes(-1, -2) + b1[..., None, :]
    active = np.maximum(hidden, 0)
    logits = active @ w2.swapaxes(-1, -2) + b2[..., None, :]
    error = np.exp(logits - logits.max(axis=-1, keepdims=True))
    error /= error.sum(axis=-1, keepdims=True)
    error.reshape(-1, error.shape[-1])[np.arange(y.size), y.ravel()] -= 1
    error /= y.shape[-1]
    back = error @ w2
    back[hidden <= 0] = 0
    w2 -= lr * (error.swapaxes(-1, -2) @ active)
    b2 -= lr * error.sum(axis=-2)
    w1 -= lr * (back.swapaxes(-1, -2) @ x)
    b1 -= lr * back.sum(axis=-2)


def _weights() -> list[np.ndarray]:
    return [parameter.numpy().copy() for parameter in MLP((64, 32, 10), rng=stream(0, "model")).parameters()]


def mailboxes(clients: list[Client], weights: list[np.ndarray], rounds: int, batch: int) -> None:
    """The spam workload, one mailbox after the other, each on the rows of the table that its own words name.

    weights: of `SpamClassifier`, a table (V, D), a head (1, D) and a bias (1,); trained in place.
    """
    table, head, bias = weights
    for round in range(1, rounds + 1):
        total = [np.zeros_like(weight) for weight in weights]
        for client, draws in zip(clients, LocalRandom(0, round, list(range(len(clients)))), strict=True):
            mails = cast(Bags, client.data).take(draws.permutation(len(client.data)))
            words, numbers = np.unique(mails.indices, return_inverse=True)
            numbers, bounds = numbers.astype(np.int32), mails.offsets.astype(np.int32)
            local = [table[words], head.copy(), bias.copy()]
            for start in range(0, len(mails), batch):
                ends = bounds[start : start + batch + 1]
                _mail_step(local, numbers[ends[0] : ends[-1]], ends - ends[0], mails.labels[start : start + batch])
            total[0][words] += local[0] - table[words]
            total[1] += local[1] - head
            total[2] += local[2] - bias
        for weight, part in zip(weights, total, strict=True):
            weight += part / len(clients)


def _mail_step(weights: list[np.ndarray], named: np.ndarray, bounds: np.ndarray, labels: np.ndarray) -> None:
    rows, head, bias = weights
    sizes = np.maximum(bounds[1:] - bounds[:-1], 1).astype(np.float32)[:, None]
    bags = sum_rows(rows, named, bounds) / sizes
    error = (1 / (1 + np.exp(-(bags @ head.T + bias))) - labels[:, None]) / np.float32(len(labels))
    gradient = np.zeros_like(rows)
    add_to_rows(gradient, named, bounds, error @ head / sizes)
    head -= LR * (error.T @ bags)
    rows -= LR * gradient
    bias -= LR * error.sum(axis=0)
