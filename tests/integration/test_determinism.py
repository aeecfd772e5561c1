"""One seed gives the same bits, whoever runs the clients and in whatever order they finish."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator import Aggregator
from clients import InlinePool, ProcessPool
from fedlearn.protocol import Partial
from fedlearn.secure import Masks
from fedlearn.strategies import STRATEGIES
from tests.toys import toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

CLIENTS = 6
PROTECTIONS = {"none": toy_plain, "paillier": toy_paillier, "masks": lambda: Masks(toy_codec())}


def model_of(pool, protection=toy_plain, strategy=None):
    aggregator = Aggregator(toy_model(), strategy or toy_strategy(), protection(), cohort=5, seed=5)
    history = aggregator.fit(pool, 3)
    assert all(record.void is None for record in history.rounds)
    return history.model_sha256, [record.train_loss for record in history.rounds]


@pytest.fixture(scope="module")
def expected():
    return model_of(InlinePool(toy_clients(CLIENTS)))


class AnyOrder(InlinePool):
    """Clients work in groups that chance forms, and what they answer arrives in the order of chance."""

    def __init__(self, clients, chance: random.Random):
        super().__init__(clients)
        self.chance = chance
        self.partials = 0

    def exchange(self, step, broadcast, inboxes):
        exchange = super().exchange
        groups: dict[int, dict[int, bytes]] = {}
        for client in self.chance.sample(list(inboxes), len(inboxes)):
            groups.setdefault(self.chance.randrange(3), {})[client] = inboxes[client]
        answers = [answer for group in groups.values() for answer in exchange(step, broadcast, group)]
        self.partials += sum(isinstance(answer, Partial) for answer in answers)
        self.chance.shuffle(answers)
        yield from answers


@pytest.mark.parametrize("protection", PROTECTIONS)
@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_any_order_of_completion_and_any_grouping(protection, expected, chance):
    pool = AnyOrder(toy_clients(CLIENTS), chance)
    assert model_of(pool, PROTECTIONS[protection]) == expected
    assert bool(pool.partials) == (protection == "none")


@pytest.mark.parametrize(("protection", "workers"), [("none", 3), ("paillier", 4), ("masks", 2)])
def test_any_number_of_workers_under_any_protection(protection, workers, expected):
    assert model_of(ProcessPool(toy_clients(CLIENTS), workers), PROTECTIONS[protection]) == expected


@pytest.mark.parametrize("name", ["scaffold", "fednova"])
def test_strategies_with_state_or_other_sums_too(name):
    strategy = STRATEGIES.load(name)
    whole = model_of(InlinePool(toy_clients(CLIENTS)), strategy=strategy())
    assert model_of(AnyOrder(toy_clients(CLIENTS), random.Random(1)), strategy=strategy()) == whole
    assert model_of(ProcessPool(toy_clients(CLIENTS), 3), strategy=strategy()) == whole
