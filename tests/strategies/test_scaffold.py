"""SCAFFOLD against its paper: Algorithm 1 with option II, written out in NumPy over dense rows in float64."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest
from safetensors.numpy import load_file

from aggregator import Aggregator, Faults, RunFolder
from clients import Client, InlinePool
from clients.memory import ClientMemory
from fedlearn.errors import BadInput
from fedlearn.protocol import Lost
from fedlearn.sampling import sample_cohort
from fedlearn.secure.masks import Masks
from fedlearn.seeding import local_random
from fedlearn.strategies.fedavg import FedAvg
from fedlearn.strategies.scaffold import Scaffold
from tests.toys import WORDS, toy_bags, toy_codec, toy_model, toy_paillier, toy_plain

N, S, SEED, EPOCHS, BATCH, LR, SERVER_LR = 7, 4, 5, 2, 4, 0.5, 0.8
SIZE = toy_model().vector.size


def crowd() -> list[Client]:
    return [Client(f"client-{i}", toy_bags(5 + 3 * i, seed=i)) for i in range(N)]


def scaffold() -> Scaffold:
    return Scaffold(EPOCHS, BATCH, LR, SERVER_LR)


def gradient(bags, rows: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Of the mean logistic loss of some messages, weights in the order of the toy model's parameters."""
    x = np.zeros((len(rows), WORDS))
    for row, i in enumerate(rows):
        x[row, bags.indices[bags.offsets[i] : bags.offsets[i + 1]]] = 1
    names = [name for name, _ in toy_model().named_parameters()]
    x = np.insert(x, 0 if names[0] == "bias" else WORDS, 1, axis=1)
    return x.T @ (1 / (1 + np.exp(-x @ w)) - bags.labels[rows]) / len(rows)


def paper(
    rounds: int, lost: Collection[tuple[int, int]] = (), void: Collection[int] = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, c and all c_i after so many rounds, in which (round, client) were lost, and some rounds void."""
    x, c, c_i, clients = toy_model().vector.astype(np.float64), np.zeros(SIZE), np.zeros((N, SIZE)), crowd()
    for r in range(1, rounds + 1):
        here = [i for i in sample_cohort(SEED, r, N, S) if (r, i) not in lost]
        if r in void:
            continue
        dx, dc = np.zeros(SIZE), np.zeros(SIZE)
        for i in here:
            y, steps, bags = x.copy(), 0, clients[i].data
            rng = local_random(SEED, r, i)
            for _ in range(EPOCHS):
                order = rng.permutation(len(bags))
                for start in range(0, len(bags), BATCH):
                    y -= LR * (gradient(bags, order[start : start + BATCH], y) - c_i[i] + c)
                    steps += 1
            c_plus = c_i[i] - c + (x - y) / (steps * LR)
            dx += (y - x) / len(here)
            dc += (c_plus - c_i[i]) / len(here)
            c_i[i] = c_plus
        x += SERVER_LR * dx
        c += len(here) / N * dc
    return x, c, c_i


def train(rounds: int, protection=None, pool=None, folder=None, stack="auto"):
    model = toy_model()
    protection = protection or toy_plain()
    aggregator = Aggregator(model, scaffold(), protection, cohort=S, seed=SEED, folder=folder, stack=stack)
    return model.vector, aggregator.fit(pool or InlinePool(crowd()), rounds)


def kept(folder: RunFolder, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """c and all c_i as a run has left them on disk."""
    c = load_file(folder.path / "checkpoint" / f"round-{rounds:06d}.safetensors")["state.c"]
    return c, ClientMemory(folder.client_states).recall(range(N), {"c_i": SIZE})["c_i"]


@pytest.mark.parametrize("protection", [toy_plain(), toy_paillier(), Masks(toy_codec())])
def test_eight_rounds_of_a_sampled_cohort_are_the_papers(protection, tmp_path):
    x, c, c_i = paper(8)
    folder = RunFolder(tmp_path / "run", {}, {})
    weights, history = train(8, protection, folder=folder)
    np.testing.assert_allclose(weights, x, atol=2e-5)
    mine = kept(folder, 8)
    np.testing.assert_allclose(mine[0], c, atol=2e-5)
    np.testing.assert_allclose(mine[1], c_i, atol=2e-5)
    assert np.abs(c_i).max() > 0.05  # of which the bounds above are a small part
    assert history.rounds[-1].weight == S  # every client counts as one, whatever it has


class Drops(InlinePool):
    """Some clients' answers are lost on their way, after they have trained."""

    def __init__(self, dropped: Collection[tuple[int, int]]):
        super().__init__(crowd())
        self.dropped = dropped

    def exchange(self, step, broadcast, inboxes):
        for answer in super().exchange(step, broadcast, inboxes):
            gone = (step.round, answer.client) in self.dropped
            yield Lost(answer.client, "the line went dead") if gone else answer


def test_who_is_lost_keeps_its_state_of_before_and_so_does_everybody_in_a_void_round(tmp_path):
    second, fourth = (sample_cohort(SEED, r, N, S) for r in (2, 4))
    lost = [(2, second[0]), (4, fourth[0]), (4, fourth[1])]
    x, c, c_i = paper(7, lost=lost[:1], void=[4])
    folder = RunFolder(tmp_path / "run", {}, {})
    weights, history = train(7, toy_paillier(), Drops(lost), folder)
    assert [r.clients_ok for r in history.rounds] == [4, 3, 4, 0, 4, 4, 4]
    assert history.rounds[3].void
    np.testing.assert_allclose(weights, x, atol=2e-5)
    mine = kept(folder, 7)
    np.testing.assert_allclose(mine[0], c, atol=2e-5)
    np.testing.assert_allclose(mine[1], c_i, atol=2e-5)
    # Wherever its clients were lost, the server's variate is the mean of theirs.
    np.testing.assert_allclose(mine[0], mine[1].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("protection", [toy_plain(), Masks(toy_codec())])
def test_clients_that_vanish_after_their_update_count_and_those_before_do_not(protection, tmp_path):
    folder = RunFolder(tmp_path / "run", {}, {})
    faults = Faults.parse("dropout=0.15,crash=0.15")
    aggregator = Aggregator(toy_model(), scaffold(), protection, cohort=6, seed=SEED, folder=folder, faults=faults)
    history = aggregator.fit(InlinePool(crowd()), 12)
    reasons = [reason for record in history.rounds if not record.void for reason in record.lost.values()]
    assert {"dropped out", "crashed after uploading"} <= set(reasons)
    c, c_i = kept(folder, 12)
    np.testing.assert_allclose(c, c_i.mean(axis=0), atol=1e-5)
    assert np.abs(c).max() > 1e-2  # of which that is a small part


def test_the_first_round_is_fedavg_of_equal_clients_with_a_server_step():
    """While c and every c_i are 0, nothing is corrected."""
    even = [Client(str(i), toy_bags(8, i)) for i in range(N)]
    fedavg = toy_model()
    local = FedAvg(EPOCHS, BATCH, LR, max_weight=8)
    Aggregator(fedavg, local, toy_plain(), cohort=S, seed=SEED).fit(InlinePool(even), 1)
    start = toy_model().vector
    weights, _ = train(1, pool=InlinePool(even))
    np.testing.assert_allclose(weights - start, SERVER_LR * (fedavg.vector - start), atol=2e-6)


def test_what_no_training_can_use_is_refused():
    for arguments, says in (
        ({"lr": 0.0}, "lr is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"server_lr": 0.0}, "server_lr is 0"),
    ):
        with pytest.raises(BadInput, match=says):
            Scaffold(**arguments)
