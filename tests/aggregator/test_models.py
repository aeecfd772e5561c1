"""Which models a session takes: those that clients build alike, and those with a gradient of their own."""

from __future__ import annotations

import numpy as np
import pytest

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from fedlearn import nn
from fedlearn.errors import BadInput, NothingLearned
from fedlearn.models.base import Model, mean_cross_entropy
from fedlearn.models.mlp import MLP
from fedlearn.nn.stackable import unstackable
from fedlearn.strategies import FedAvg
from fedlearn.testing.toys import dense_examples
from tests.toys import toy_plain

PEOPLE = [Client(f"c{i}", dense_examples(4, i)) for i in range(3)]


def fit(model, pool=InlinePool, rounds=1):
    Aggregator(model, FedAvg(batch_size=2), toy_plain(), stack="off").fit(pool(PEOPLE), rounds)
    return model.vector.tobytes()


class Net(Model):
    def __init__(self, widths=(6, 5, 3), drop=0.5, *, rng=None):
        self.widths = widths
        self.body = nn.Linear(widths[0], widths[1], rng=rng)
        self.act = nn.Tanh()
        self.drop = nn.Dropout(drop)
        self.heads = [nn.Linear(widths[1], widths[2], rng=rng)]

    def forward(self, features):
        return self.heads[0](self.drop(self.act(self.body(features))))

    def loss(self, batch):
        return mean_cross_entropy(self(*batch.inputs), batch.targets)


def net():
    return Net(rng=np.random.default_rng(0))


CHANGES = {
    "act is a ReLU": lambda model: setattr(model, "act", nn.ReLU()),
    "drop.p is 0.9": lambda model: setattr(model.drop, "p", 0.9),
    "loss was set": lambda model: setattr(model, "loss", lambda batch: 2 * Net.loss(model, batch)),
    "scale was set": lambda model: setattr(model, "scale", 3.0),
    "heads": lambda model: model.heads.append(nn.Linear(3, 3)),
}


@pytest.mark.parametrize("says", CHANGES)
def test_a_model_that_became_another_is_refused_by_name_before_anything_starts(says):
    model = net()
    CHANGES[says](model)
    pool = InlinePool(PEOPLE)
    pool.open = lambda: pytest.fail("it was started")
    with pytest.raises(BadInput, match=rf"clients would build another Net: .*{says}.*make that an argument") as raised:
        Aggregator(model, FedAvg(), toy_plain()).fit(pool, 1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("changed", "more"), [(3, ""), (4, ", and 1 more"), (5, ", and 2 more")])
def test_three_of_its_differences_are_named(changed, more):
    model = net()
    for number in range(changed):
        setattr(model, f"own_{number}", 3.0)
    named = "; ".join(f"own_{number} was set after construction" for number in range(3))
    with pytest.raises(BadInput, match=f"^clients would build another Net: {named}{more}; make that"):
        Aggregator(model, FedAvg(), toy_plain()).fit(InlinePool(PEOPLE), 1)


def test_a_model_as_it_was_constructed_is_taken_with_tuples_and_layers_in_lists():
    assert fit(net()) == fit(net(), ProcessPool)


class Own(MLP):
    """A gradient of its own, as a module of another engine would have: here half of the true one."""

    def gradient(self, batch):
        loss, gradient = super().gradient(batch)
        return float(loss), (gradient / 2).astype(np.float64).tolist()


class Short(MLP):
    def gradient(self, batch):
        return 0.0, np.zeros(3)


def test_a_gradient_of_its_own_is_what_clients_take_steps_by():
    kinds = [kind((6, 5, 3), rng=np.random.default_rng(0)) for kind in (Own, Own, MLP, MLP)]
    own, processes, whole = fit(kinds[0]), fit(kinds[1], ProcessPool), fit(kinds[2])
    Aggregator(kinds[3], FedAvg(batch_size=2, lr=0.05), toy_plain()).fit(InlinePool(PEOPLE), 1)
    assert own == processes == kinds[3].vector.tobytes()
    assert own != whole
    assert unstackable(kinds[0]) == ["Own"]


def test_a_gradient_of_another_length_is_refused_by_name():
    with pytest.raises((BadInput, NothingLearned), match=r"Short.gradient gives an array \(3,\)"):
        fit(Short((6, 5, 3)))


def test_a_client_without_examples_is_named_and_costs_itself_only():
    people = [*PEOPLE, Client("empty", dense_examples(4, 0).take(slice(0, 0)))]
    model = MLP((6, 5, 3))
    history = Aggregator(model, FedAvg(), toy_plain()).fit(InlinePool(people), 1)
    assert "has no examples" in history.rounds[0].lost[3]
    assert history.rounds[0].clients_ok == 3
