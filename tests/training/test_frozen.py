"""Frozen parameters end as they began, and nothing of them goes up, however clients are trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.seeding import LocalRandom
from fedlearn.strategies import STRATEGIES, FedAvg
from fedlearn.strategies.base import LocalUpdate
from fedlearn.testing.strategies import state_of
from fedlearn.testing.toys import dense_examples, dense_model, messages, word_model
from fedlearn.training.flat import FlatModel, frozen_weights
from fedlearn.training.narrow import NarrowModel
from fedlearn.training.stacks import stack
from tests.clients.test_training import updates
from tests.toys import toy_plain

OPTIONS = (
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9, "weight_decay": 0.1},
    {"optimizer": "adam", "weight_decay": 0.1},
)
STRATEGIES_AND_OPTIONS = [
    (name, options)
    for name in STRATEGIES.entries
    for options in OPTIONS
    if set(options) <= set(STRATEGIES.load(name)().arguments())
    and options.get("optimizer", "sgd") in getattr(STRATEGIES.load(name), "local_optimizers", ("sgd",))
]


def frozen_dense():
    model = dense_model()
    model.vector[:] = np.random.default_rng(3).standard_normal(model.vector.size)
    model.get_submodule("body.0").requires_grad_(False)
    return model


def frozen_words(table=True):
    """Either the table of words is frozen, or all but that."""
    model = word_model()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_((name == model.vocabulary) != table)
    return model


def strategy_of(name, options):
    return STRATEGIES.load(name)(**{"batch_size": 2, "epochs": 2, **options})


class Restless(FedAvg):
    """Moves every weight, whoever wants it to stay."""

    def local_update(self, model, data, state, draws):
        update = super().local_update(model, data, state, draws)
        return replace(update, vectors={"delta": update.vectors["delta"] + np.float32(0.25)})


@pytest.mark.parametrize("stack", ["on", "off"])
def test_what_a_strategy_does_to_frozen_weights_is_not_sent(stack):
    model = frozen_dense()
    still = frozen_weights(model)
    people = [Client(f"c{i}", dense_examples(4, i)) for i in range(3)]
    for vector in updates(model, people, Restless(batch_size=2), stack).values():
        sent = np.frombuffer(vector, np.int64)[: still.size]
        assert not sent[still].any()
        assert sent[~still].all()


@pytest.mark.parametrize(("name", "options"), STRATEGIES_AND_OPTIONS)
def test_the_delta_of_frozen_weights_is_exactly_0_alone_and_stacked(name, options):
    model, strategy = frozen_dense(), strategy_of(name, options)
    still = frozen_weights(model)
    assert 0 < still.sum() < still.size
    sent, kept = state_of(strategy, model.vector.size)
    for state in (*sent.values(), *kept.values()):
        state[..., still] = 0  # as it is where no weight moves
    data = [dense_examples(5, i) for i in range(5)]
    for flat, examples, own in (
        (FlatModel(model, 5), stack(data), kept),
        (FlatModel(model), data[0], {name: vectors[0] for name, vectors in kept.items()}),
    ):
        flat.load(model.vector)
        draws = LocalRandom(1, 1, range(5))
        update = strategy.local_update(flat, examples, sent | own, draws if flat.copies else next(iter(draws)))
        for vector in (v for v in (*update.vectors.values(), *update.state.values()) if v.shape[-1] == still.size):
            assert not vector[..., still].any()
        assert update.vectors["delta"][..., ~still].any()
        assert (flat.vector[..., still] == model.vector[still]).all()


@pytest.mark.parametrize("table", [True, False])
def test_the_delta_of_frozen_weights_is_exactly_0_narrowed(table):
    model = frozen_words(table)
    narrow = NarrowModel(model)
    data = [messages(6, i, longest=3 + 4 * i) for i in range(4)]
    examples, _ = narrow.narrow(model.vector.copy(), [narrow.own_words(bags) for bags in data])
    before = narrow.vector.copy()
    update = FedAvg(lr=0.5).local_update(narrow, examples, {}, LocalRandom(1, 1, range(4)))
    assert not update.vectors["delta"][:, narrow.frozen].any()
    assert update.vectors["delta"][:, ~narrow.frozen].any()
    assert (narrow.vector[:, narrow.frozen] == before[:, narrow.frozen]).all()


came_up: list[np.ndarray] = []  # the means that reached the server of `Decays`


@dataclass(frozen=True)
class Decays(FedAvg):
    """A loop of its own, which moves every weight, and a server that moves every weight too."""

    def local_update(self, model, data, state, rng):
        start = model.vector.copy()
        for _ in range(2):
            loss, gradient = model.gradient(data)
            model.vector[...] = 0.9 * model.vector - np.float32(0.1) * gradient
        return LocalUpdate({"delta": model.vector - start}, len(data), loss)

    def server_step(self, weights, mean, state, context):
        came_up.append(mean["delta"].copy())
        return (0.99 * weights + mean["delta"]).astype(np.float32), state


@pytest.mark.parametrize("strategy", [Decays(), FedAvg(weight_decay=0.1), STRATEGIES.load("scaffold")()])
@pytest.mark.parametrize("model", [frozen_dense, frozen_words])
def test_frozen_parameters_end_as_they_began_in_every_pool(strategy, model):
    draw = dense_examples if model is frozen_dense else messages
    people = [Client(f"c{i}", draw(4, i)) for i in range(4)]
    ends = set()
    for pool, choice in ((InlinePool, "on"), (InlinePool, "off"), (ProcessPool, "auto")):
        came_up.clear()
        trained = model()
        still, before = frozen_weights(trained), trained.vector.copy()
        Aggregator(trained, strategy, toy_plain(), stack=choice).fit(pool(people), 2)
        assert (trained.vector[still] == before[still]).all()
        assert (trained.vector[~still] != before[~still]).any()
        assert not any(mean[still].any() for mean in came_up)
        ends.add(trained.vector.tobytes())
    assert len(ends) == 1


def test_a_model_that_is_frozen_all_over_is_refused():
    model = dense_model().requires_grad_(False)
    with pytest.raises(BadInput, match="all parameters of the MLP are frozen"):
        Aggregator(model, FedAvg(), toy_plain()).fit(InlinePool([Client("c", dense_examples(4, 0))]), 1)


class Weightless(Model):
    """A model that passes on what it is given."""

    def forward(self, x):
        return x

    def loss(self, batch):
        return self(batch.inputs[0]).mean()


def test_a_model_without_weights_is_not_called_frozen():
    with pytest.raises(BadInput, match="the Weightless has no parameters: give a model with weights"):
        Aggregator(Weightless(), FedAvg(), toy_plain()).fit(InlinePool([Client("c", dense_examples(4, 0))]), 1)
