"""The checks find out what breaks a promise: each of these classes breaks one."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest

from clients.behaviours.base import Behaviour
from fedlearn.datasets.partitions import IID
from fedlearn.errors import BadInput, RoundVoid
from fedlearn.models.mlp import MLP
from fedlearn.models.spam import SpamClassifier
from fedlearn.secure import Plain
from fedlearn.secure.plain import PlainServer
from fedlearn.strategies.base import LocalUpdate, Output, Strategy
from fedlearn.strategies.fedavg import FedAvg
from fedlearn.strategies.fedavgm import FedAvgM
from fedlearn.testing import (
    check_behaviour,
    check_model,
    check_partition,
    check_protection,
    check_sampler,
    check_strategy,
)
from fedlearn.testing.toys import dense_examples
from scenarios.testing import check_federation
from tests.toys import toy_codec


class Norms(FedAvg):
    """A second output, whose sum runs over all weights: on a narrowed model it has fewer terms."""

    leaves_untouched_weights = True

    def outputs(self, parameters):
        return {"delta": Output(parameters), "norm": Output(1)}

    def local_update(self, model, data, state, rng):
        update = super().local_update(model, data, state, rng)
        squares = (update.vectors["delta"] ** 2).sum(axis=-1, keepdims=True)
        return LocalUpdate(update.vectors | {"norm": squares}, update.examples, update.loss)


class Centred(FedAvg):
    """Takes the mean of stacked clients for that of one."""

    leaves_untouched_weights = False

    def local_update(self, model, data, state, rng):
        update = super().local_update(model, data, state, rng)
        delta = update.vectors["delta"]
        return replace(update, vectors={"delta": delta - delta.mean()})


class Undeclared(FedAvg):
    def outputs(self, parameters):
        return {"delta": Output(parameters), "extra": Output(1)}


class Writes(FedAvg):
    def server_step(self, weights, mean, state, context):
        weights += mean["delta"].astype(np.float32)
        return weights, state


class Double(FedAvg):
    def server_step(self, weights, mean, state, context):
        return weights + mean["delta"], state


class Memory(FedAvgM):
    """Reads its state by the order in which its bytes lie in memory."""

    def server_step(self, weights, mean, state, context):
        kept = state.get("velocity", np.zeros(weights.size))
        lying = np.lib.stride_tricks.as_strided(kept, kept.shape, (kept.itemsize,))
        velocity = self.beta * lying + mean["delta"]
        return (weights + velocity).astype(np.float32), {"velocity": velocity}


@dataclass(frozen=True)
class Forgets(FedAvg):
    mu: float = 0.5

    def arguments(self):
        return {name: value for name, value in super().arguments().items() if name != "mu"} | {"lr": self.lr + self.mu}


@dataclass(frozen=True)
class Trusting(FedAvg):
    mu: float = 0.5

    def __post_init__(self):
        pass


@dataclass(frozen=True)
class Careless(FedAvg):
    mu: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        if self.mu < 0:
            raise BadInput("mu")


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        (Trusting(), r"nan\) is taken"),
        (Careless(), r"Careless\(mu="),
        (Norms(), "vector 'norm' of client-. differs between the whole model and its own words"),
        (Centred(), "vector 'delta' of client-. .*differs from the same client's trained alone"),
        (Undeclared(), "outputs.. announces"),
        (Writes(), "wrote to what it was given"),
        (Double(), "weights of float64"),
        (Memory(), "other weights for state that is"),
        (Forgets(), "built again from its arguments"),
    ],
)
def test_strategies_that_break_a_promise(strategy, says):
    with pytest.raises(AssertionError, match=says):
        check_strategy(strategy)


class Loses(IID):
    def split(self, labels, users, clients, rng):
        return [part[1:] for part in super().split(labels, users, clients, rng)]


class Twice(IID):
    def split(self, labels, users, clients, rng):
        first, *rest = super().split(labels, users, clients, rng)
        return [np.concatenate([first[:-1], rest[0][:1]]), *rest]


class Fresh(IID):
    def split(self, labels, users, clients, rng):
        return super().split(labels, users, clients, np.random.default_rng())


class Accepts(IID):
    def split(self, labels, users, clients, rng):
        return super().split(labels, users, min(max(clients, 1), len(labels)), rng)


@pytest.mark.parametrize(
    ("partition", "says"),
    [(Loses(), "were dealt"), (Twice(), "dealt twice"), (Fresh(), "another deal"), (Accepts(), "was not refused")],
)
def test_partitions_that_break_a_promise(partition, says):
    with pytest.raises(AssertionError, match=says):
        check_partition(partition)


class Any:
    def check(self, population, size):
        pass

    def limit(self, size):
        return size

    def sample(self, seed, round, population, size):
        return sorted(random.sample(range(population), size))


class Unsorted(Any):
    def sample(self, seed, round, population, size):
        return [1, 0]


class TooMany(Any):
    def sample(self, seed, round, population, size):
        return list(range(size + 1))


class Nobody(Any):
    def sample(self, seed, round, population, size):
        return []


@pytest.mark.parametrize(
    ("sampler", "says"),
    [(Any(), "another cohort"), (Unsorted(), "rising"), (TooMany(), "limit"), (Nobody(), "without a client")],
)
def test_samplers_that_break_a_promise(sampler, says):
    with pytest.raises(AssertionError, match=says):
        check_sampler(sampler)


class Scribbles(Behaviour):
    def update(self, update, honest):
        update.vectors["delta"] *= -1
        return update


class Drops(Behaviour):
    def update(self, update, honest):
        return replace(update, vectors={"delta": update.vectors["delta"]})


class Longer(Behaviour):
    def update(self, update, honest):
        return replace(update, vectors=update.vectors | {"delta": np.ones(9, np.float32)})


@pytest.mark.parametrize(
    ("behaviour", "says"), [(Scribbles(), "wrote to the honest"), (Drops(), "dropped"), (Longer(), "shape")]
)
def test_behaviours_that_break_a_promise(behaviour, says):
    with pytest.raises(AssertionError, match=says):
        check_behaviour(behaviour, dense_examples(4, 0))


class Mixed(MLP):
    """Stacked clients see one another."""

    stackable = True

    def forward(self, features):
        return super().forward(features - np.asarray(features).mean(dtype=np.float64).astype(np.float32))


class Hidden(MLP):
    """What decides its parameters is no argument of its constructor."""

    width = 4

    def __init__(self, widths, *, rng=None):
        super().__init__((widths[0], Hidden.width, widths[-1]), rng=rng)


@pytest.mark.parametrize(
    ("kind", "says"), [(Mixed, "among others differs"), (SpamClassifier, "")], ids=["mixed", "no samples"]
)
def test_models_that_break_a_promise(kind, says):
    if kind is SpamClassifier:
        with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind: it does not read numbers
            check_model(kind(9), [dense_examples(4, 0)])
        return
    with pytest.raises(AssertionError, match=says):
        check_model(kind((6, 5, 3), rng=np.random.default_rng(0)), [dense_examples(4, i) for i in range(3)])


def test_a_model_that_its_description_does_not_repeat():
    model = Hidden((6, 3), rng=np.random.default_rng(0))
    Hidden.width = 7
    try:
        with pytest.raises(AssertionError, match="built from its spec"):
            check_model(model, [dense_examples(4, 0)])
    finally:
        Hidden.width = 4


class OffByOne(Plain):
    name = "off"

    def server(self, plan, step):
        half = super().server(plan, step)
        half.finish = lambda replies: PlainServer.finish(half, replies) + 1
        return half


def test_a_protection_that_does_not_sum():
    with pytest.raises(AssertionError, match="must be exact"):
        check_protection(OffByOne(toy_codec()))


def test_a_federation_that_is_alike_everywhere_passes():
    check_federation(FedAvg(batch_size=2), protection=Plain(toy_codec()))


class Forgetful(Plain):
    """Opens nothing in the second round."""

    name = "none"  # for its clients it is no protection

    def server(self, plan, step):
        if step.round > 1:
            raise RoundVoid("forgotten")
        return super().server(plan, step)


def test_a_federation_that_misses_a_round():
    with pytest.raises(AssertionError, match="forgotten"):
        check_federation(FedAvg(batch_size=2), protection=Forgetful(toy_codec()))


class Least(Strategy):
    """No more than must be."""

    def local_update(self, model, data, state, rng):
        start = model.vector.copy()
        loss, gradient = model.gradient(data)
        model.vector[...] -= np.float32(0.1) * gradient
        return LocalUpdate({"delta": model.vector - start}, len(data), loss)

    def server_step(self, weights, mean, state, context):
        return (weights + mean["delta"]).astype(np.float32), state


def test_the_least_strategy_is_enough():
    check_strategy(Least())
    check_strategy(dataclass(frozen=True)(type("Least", (Least,), {}))())
    assert Least().name == "least"
