"""Each algorithm against its paper's formula, a published known answer, or the algorithm that it contains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import Aggregator
from clients import Client, InlinePool
from fedlearn.errors import BadInput
from fedlearn.seeding import local_random, stream
from fedlearn.strategies import STRATEGIES, FedAvg
from fedlearn.strategies.base import RoundContext
from fedlearn.strategies.fedavgm import FedAvgM
from fedlearn.strategies.fednova import FedNova
from fedlearn.strategies.fedopt import FedAdagrad, FedAdam, FedYogi
from fedlearn.strategies.fedprox import FedProx
from scenarios.command import build
from scenarios.command.options import Options
from tests.toys import WORDS, toy_bags, toy_clients, toy_model, toy_plain

LOCAL = {"epochs": 2, "batch_size": 4, "lr": 0.5, "max_weight": 64}


def train(strategy, rounds=3, clients=None) -> np.ndarray:
    model = toy_model()
    Aggregator(model, strategy, toy_plain(), seed=1).fit(InlinePool(clients or toy_clients()), rounds)
    return model.vector.copy()


def steps(strategy, means) -> list[float]:
    """One weight, starting at 0.1, after each server step."""
    weights, state, seen = np.array([0.1], np.float32), {}, []
    for mean in means:
        weights, state = strategy.server_step(weights, {"delta": np.array([mean])}, state, RoundContext(1, 1, 0, 1, 1))
        seen.append(float(weights[0]))
    return seen


def test_local_training_is_sgd_over_shuffled_batches():
    """An independent loop over dense rows, written from the paper's ClientUpdate."""
    bags, strategy, model = toy_bags(10, seed=3), FedAvg(**LOCAL, momentum=0.5), toy_model()
    update = strategy.local_update(model, bags, {}, stream(0, "local"))
    rows = np.zeros((10, WORDS + 1))
    for i in range(10):
        rows[i, bags.indices[bags.offsets[i] : bags.offsets[i + 1]]] = 1
    rows[:, -1] = 1  # the bias
    rng, w, velocity = stream(0, "local"), np.zeros(WORDS + 1), 0.0
    order = {name: i for i, (name, _) in enumerate(model.named_parameters())}
    for _ in range(2):
        shuffled = rng.permutation(10)
        for batch in (shuffled[:4], shuffled[4:8], shuffled[8:]):
            error = 1 / (1 + np.exp(-rows[batch] @ w)) - bags.labels[batch]
            velocity = 0.5 * velocity + rows[batch].T @ error / len(batch)
            w -= 0.5 * velocity
    expected = w if order["bias"] == 1 else np.concatenate([w[-1:], w[:-1]])
    np.testing.assert_allclose(update.vectors["delta"], expected, atol=1e-6)
    assert update.examples == 10


def test_fedprox_with_mu_zero_is_fedavg_and_a_larger_mu_stays_nearer():
    assert train(FedProx(**LOCAL, mu=0.0)).tobytes() == train(FedAvg(**LOCAL)).tobytes()
    norms = [np.linalg.norm(train(FedProx(**LOCAL, mu=mu), rounds=1)) for mu in (0.0, 0.1, 1.0)]
    assert norms[0] > norms[1] > norms[2]


def test_fedprox_adds_mu_times_the_distance_to_every_gradient():
    bags, model = toy_bags(4, seed=0), toy_model()
    plain = FedAvg(epochs=1, batch_size=4, lr=0.5).local_update(toy_model(), bags, {}, stream(0, "local"))
    update = FedProx(epochs=2, batch_size=4, lr=0.5, mu=0.2).local_update(model, bags, {}, stream(0, "local"))
    # After the first step (where w = w_global) the second is plain SGD's from there, less lr * mu * delta.
    second = toy_model()
    second.vector[:] += plain.vectors["delta"]
    again = FedAvg(epochs=1, batch_size=4, lr=0.5).local_update(second, bags, {}, stream(0, "local"))
    expected = plain.vectors["delta"] + again.vectors["delta"] - 0.5 * 0.2 * plain.vectors["delta"]
    np.testing.assert_allclose(update.vectors["delta"], expected, atol=1e-6)


def test_fedavgm_without_momentum_is_fedavg_and_with_it_keeps_a_velocity():
    assert train(FedAvgM(**LOCAL, beta=0.0)).tobytes() == train(FedAvg(**LOCAL)).tobytes()
    assert steps(FedAvgM(beta=0.5), [1.0, 1.0, 0.0]) == pytest.approx([1.1, 2.6, 3.35])


def test_fedadagrad_known_answer():
    """Flower's test: previous 0.1, clients 0.2 and 1.0, eta 0.1, tau 0.5 -> 0.15."""
    strategy = FedAdagrad(server_lr=0.1, beta1=0.0, tau=0.5)
    assert steps(strategy, [np.mean([0.2, 1.0]) - 0.1]) == pytest.approx([0.15])


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6))
def test_the_adaptive_servers_follow_the_papers_lines(means):
    common = {"server_lr": 0.1, "beta1": 0.9, "beta2": 0.99, "tau": 1e-2}
    for strategy, line in (
        (FedAdagrad(**common), lambda v, d: v + d * d),
        (FedAdam(**common), lambda v, d: 0.99 * v + 0.01 * d * d),
        (FedYogi(**common), lambda v, d: v - 0.01 * d * d * np.sign(v - d * d)),
    ):
        w, m, v = 0.1, 0.0, 0.0
        for delta, got in zip(means, steps(strategy, means), strict=True):
            m = 0.9 * m + 0.1 * delta
            v = line(v, delta)
            w += 0.1 * m / (np.sqrt(v) + 1e-2)
            assert got == pytest.approx(w, abs=1e-5)


def test_fednova_is_fedavg_where_everybody_takes_as_many_steps():
    clients = [Client(str(i), toy_bags(8, i)) for i in range(3)]
    np.testing.assert_allclose(train(FedNova(**LOCAL), 2, clients), train(FedAvg(**LOCAL), 2, clients), atol=3e-4)


def test_fednova_weighs_deltas_per_step():
    clients, strategy = toy_clients(3), FedNova(**LOCAL)
    start = toy_model().vector.copy()
    deltas, weights, taus = [], [], []
    for number, client in enumerate(clients):
        update = FedAvg(**LOCAL).local_update(toy_model(), client.data, {}, local_random(1, 1, number))
        deltas.append(update.vectors["delta"])
        weights.append(len(client.data))
        taus.append(2 * -(-len(client.data) // 4))
    p = np.array(weights) / sum(weights)
    expected = start + (p @ taus) * (p / taus @ np.array(deltas))
    np.testing.assert_allclose(train(strategy, rounds=1), expected, atol=2e-4)
    momentum = FedNova(momentum=0.9)
    assert momentum.accumulated(3) == pytest.approx(1 + 1.9 + 2.71)  # sum of (1 - 0.9^k) / 0.1


@pytest.mark.parametrize("name", [name for name in STRATEGIES.entries])
def test_every_strategy_learns_and_survives_the_plan(name):
    strategy = build.strategy(Options(strategy=name, epochs=2, batch_size=4))
    assert type(strategy)(**strategy.arguments()) == strategy
    assert strategy.name == name
    model = toy_model()
    history = Aggregator(model, strategy, toy_plain(), seed=1).fit(InlinePool(toy_clients(4)), 8)
    assert history.rounds[-1].train_loss < history.rounds[0].train_loss


def test_strategies_are_configured_by_name():
    assert build.strategy(Options(strategy="fedprox:mu=0.5", lr=0.2)) == FedProx(lr=0.2, mu=0.5)
    for text, says in (
        ("fedprox:nu=1", "has no 'nu'"),
        ("fedprox:mu=big", "number"),
        ("fedprox:mu=-1", "mu is -1"),
    ):
        with pytest.raises(BadInput, match=says):
            build.strategy(Options(strategy=text))
    with pytest.raises(BadInput, match="beta is 1"):
        FedAvgM(beta=1.0)
    with pytest.raises(BadInput, match="tau"):
        FedAdam(tau=0)
