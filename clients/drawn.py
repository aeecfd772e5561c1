"""Local training where single examples are protected: each that a client draws is trained, clipped and rounded alone.

Their integers are added up before they leave the client, with its noise where it adds some. So a round is one clipped,
noised step on the examples that all clients drew. Examples stand side by side as the copies of a stacked model, whose
axis of clients counts them: the gradients of each come from one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np

from clients.client import Client
from clients.encoded import Encoded
from clients.task import Task
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.secure.layout import Layout
from fedlearn.secure.noised import PrivateLayout
from fedlearn.seeding import LocalRandom, local_random
from fedlearn.strategies.base import LocalUpdate, State
from fedlearn.training.flat import FlatModel
from fedlearn.training.loop import Shuffles
from fedlearn.training.stacks import singles

SIDE_BY_SIDE = 32  # examples: more gain nothing
Train = Callable[[FlatModel, Examples, State, Shuffles], LocalUpdate]


class Drawn:
    """Trains the examples that clients draw.

    model: one copy. stack: how many may stand side by side. train: the strategy's local update.
    """

    def __init__(self, model: FlatModel, stack: int, train: Train, seed: int):
        self._alone = model
        self._stacked = FlatModel(model.model, min(stack, SIDE_BY_SIDE)) if stack > 1 else None
        self._train = train
        self._seed = seed

    @classmethod
    def of(cls, layout: Layout, model: FlatModel, stack: int, train: Train, seed: int) -> Self | None:
        """The training of single examples; None where whole clients are protected, or nobody."""
        single = isinstance(layout, PrivateLayout) and layout.terms.unit == "example"
        return cls(model, stack, train, seed) if single else None

    def encoded(self, layout: Layout, number: int, client: Client, task: Task) -> Encoded:
        """One client's lanes in a round; raises `BadInput` for one that is to misbehave. layout: the round's."""
        assert isinstance(layout, PrivateLayout)
        if client.behaviour is not None:
            raise BadInput(
                "a malicious client's behaviour changes a whole update, and where single examples are protected there "
                "is none: take honest clients, or unit=client"
            )
        rows = layout.terms.drawn(len(client.data), task.round, number)
        model = self._alone if self._stacked is None or singles(client.data, rows[:1]) is None else self._stacked
        size = model.copies or 1
        total = np.zeros((1, len(layout)), np.int64)
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            update = self._updates(model, client.data, block, task)
            total += np.atleast_2d(layout.encode(update))[: len(block)].sum(axis=0, dtype=np.int64)
        lanes = layout.added(total)
        layout.blur(lanes, task.round, [number])
        return Encoded([number], lanes)

    def _updates(self, model: FlatModel, data: Examples, rows: np.ndarray, task: Task) -> LocalUpdate:
        """The updates of up to as many examples as there are copies; those of the copies beyond are repeats."""
        model.load(task.weights)
        state = dict(task.state)
        if model.copies is None:
            return self._train(model, data.take(rows), state, local_random(self._seed, task.round, 0))
        examples = singles(data, np.resize(rows, model.copies))
        assert examples is not None
        return self._train(model, examples, state, LocalRandom(self._seed, task.round, range(model.copies)))
