"""Word models side by side, each client on its own words: no neighbour changes a bit, no fault spreads."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from fedlearn.autograd import no_replay
from fedlearn.datasets.bags import Bags
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.models.spam import SpamClassifier
from fedlearn.nn import functional as F
from fedlearn.protocol import Lost
from fedlearn.seeding import LocalRandom, local_random
from fedlearn.strategies import FedAvg
from fedlearn.strategies.fednova import FedNova
from fedlearn.strategies.fedprox import FedProx
from fedlearn.training import narrow as narrowing
from fedlearn.training.flat import FlatModel
from fedlearn.training.narrow import NarrowModel
from fedlearn.training.stacks import StackedBags, stack
from tests.clients.test_training import updates
from tests.toys import WORDS, FailingBags, toy_bags, toy_model, toy_plain


class Alone(SpamClassifier):
    """A word model for one client at a time."""

    stackable = False

    def forward(self, indices, offsets):
        assert offsets.ndim == 1
        return super().forward(indices, offsets)


TRAINED = FedAvg(2, 4, 0.5, max_weight=64)


class OfTwoClasses(FedAvg):
    """Refuses other labels than 0 and 1 in training, and fails at labels below 0."""

    leaves_untouched_weights = True

    def local_update(self, model, data, state, rng):
        if (data.labels < 0).any():
            raise OSError("disk on fire")
        if (data.labels > 1).any():
            raise BadInput("a label of 2")
        return super().local_update(model, data, state, rng)


def mails(count: int, words: int, seed: int, vocabulary: int = WORDS) -> Bags:
    """Mails of up to so many words, some of them without any."""
    rng = np.random.default_rng(seed)
    rows = [np.unique(rng.integers(vocabulary, size=rng.integers(words + 1))).astype(np.int32) for _ in range(count)]
    labels = rng.integers(2, size=count).astype(np.float32)
    return Bags(np.concatenate(rows), np.cumsum([0, *map(len, rows)]), labels)


def mailboxes(counts: list[int]) -> list[Client]:
    """Clients with so many mails each, of many different lengths."""
    return [Client(f"c{i}", mails(count, 1 + 3 * (i % 7), seed=i)) for i, count in enumerate(counts)]


@settings(deadline=None, max_examples=40)
@given(
    dim=st.sampled_from([1, 2, 5, 16]),
    clients=st.integers(1, 12),
    messages=st.integers(1, 40),
    words=st.integers(0, 60),
    batch_size=st.integers(1, 40),
    strategy=st.sampled_from([FedAvg, FedProx, FedNova]),
    how=st.sampled_from([{}, {"momentum": 0.9}, {"optimizer": "adam"}]),
    seed=st.integers(0, 99),
)
def test_no_neighbour_changes_a_bit_and_neither_does_leaving_words_out(
    dim, clients, messages, words, batch_size, strategy, how, seed
):
    if strategy is FedNova and "optimizer" in how:
        how = {}
    strategy = strategy(2, batch_size, 0.5, **how)
    assert strategy.leaves_untouched_weights
    model = SpamClassifier(300, dim, rng=np.random.default_rng(seed))
    model.vector[:] = np.random.default_rng(seed).standard_normal(model.vector.size)
    data = [mails(messages, words + i, seed + i, vocabulary=300) for i in range(clients)]
    start, narrow, whole = model.vector.copy(), NarrowModel(model), FlatModel(model)
    examples, support = narrow.narrow(start, [narrow.own_words(bags) for bags in data])
    together = strategy.local_update(narrow, examples, {}, LocalRandom(seed, 1, range(clients)))
    for i in range(clients):
        spread = np.zeros_like(start)
        row = slice(i, i + 1)
        support.among(row).add_to(spread, together.vectors["delta"][row])
        whole.load(start)
        alone = strategy.local_update(whole, data[i], {}, local_random(seed, 1, i))
        assert np.array_equal(spread, alone.vectors["delta"])
        assert together.loss[i] == alone.loss
        padding = together.vectors["delta"][i, support.begin + support.rows[i].size * dim : support.stop]
        assert not padding.any()


@pytest.mark.parametrize("dim", [1, 5, 16])
def test_stacks_of_any_cut_and_order_give_the_same_updates(dim, monkeypatch):
    model, clients = toy_model(dim), mailboxes([6, 9, 6, 6, 1, 9, 6, 6, 6, 2, 6])
    expected = updates(model, clients, TRAINED, "auto")
    assert updates(model, clients, TRAINED, "on") == expected
    assert updates(model, clients, TRAINED, "off") == expected
    monkeypatch.setattr(narrowing, "STACKED_WEIGHTS", 3 * (dim * 20 + dim + 1))
    assert updates(model, clients, TRAINED, "auto") == expected


@pytest.mark.parametrize("dim", [1, 5])
@pytest.mark.parametrize("choice", ["on", "off"])
def test_rounds_have_the_same_bits_with_and_without_replay_whoever_trains_in_them(dim, choice):
    def trained() -> bytes:
        model, clients = toy_model(dim), mailboxes([6, 6, 9, 6, 6, 9, 6, 6])
        Aggregator(model, TRAINED, toy_plain(), cohort=6, stack=choice).fit(InlinePool(clients), 4)
        return model.vector.tobytes()

    with no_replay():
        expected = trained()
    assert trained() == expected


def test_stacks_of_other_clients_run_the_steps_that_were_recorded():
    narrow, start = NarrowModel(toy_model(3)), toy_model(3).vector.copy()
    taped = []

    def gradient(clients: list[Bags]) -> bytes:
        examples, _ = narrow.narrow(start, [narrow.own_words(bags) for bags in clients])
        recorded = narrow._recorded
        assert recorded is not None
        taped.append(len(recorded._programs))
        loss, found = narrow.gradient(examples)
        return loss.tobytes() + found.tobytes()

    stacks = [[mails(4, 12, seed), mails(4, 12, seed + 50)] for seed in range(6)]
    found = [gradient(some) for some in stacks * 2]
    with no_replay():
        assert [gradient(some) for some in stacks * 2] == found
    assert taped[-1] == 1
    assert len(narrow._rooms) <= narrowing.ROOMS


def test_own_words_are_remembered_while_they_are_right_and_forgotten_in_time(monkeypatch):
    narrow, bags = NarrowModel(toy_model(3)), mails(4, 12, 0)
    own = narrow.own_words(bags)
    assert narrow.own_words(bags) is own
    bags.indices[0] = (bags.indices[0] + 1) % WORDS
    again = narrow.own_words(bags)
    assert again is not own
    assert np.array_equal(again.rows[again.examples.indices], bags.indices)
    others = [mails(4, 12, seed) for seed in range(5)]
    for other in others:
        narrow.own_words(other)
    assert len(narrow._known) == 6
    del other, others
    assert len(narrow._known) == 1  # clients that are gone
    monkeypatch.setattr(narrowing, "KNOWN", 3 * again.bytes)
    others = [mails(4, 12, seed) for seed in range(9)]
    for other in others:
        narrow.own_words(other)
    assert sum(known.bytes for known in narrow._known.values()) <= 3 * again.bytes


def test_the_memory_of_stacks_is_bounded(monkeypatch):
    narrow, start = NarrowModel(toy_model(3)), toy_model(3).vector.copy()
    own = narrow.own_words(mails(4, 12, 0))
    for clients in range(1, 12):
        narrow.narrow(start, [own] * clients)
    assert len(narrow._rooms) == narrowing.ROOMS
    monkeypatch.setattr(narrowing, "LARGEST", narrow.vector.size + 1)
    narrow.narrow(start, [own] * 12)
    assert len(narrow._rooms) == 1


def test_stacks_are_cut_to_the_cache_and_hold_clients_of_about_one_size(monkeypatch):
    monkeypatch.setattr(narrowing, "STACKED_WEIGHTS", 100)
    narrow = NarrowModel(toy_model(2))
    own = {i: narrow.own_words(mails(4, words, i)) for i, words in enumerate([1, 30, 2, 40, 3, 2])}
    stacks = list(narrow.stacks(own))
    assert sorted(chain(*stacks)) == list(range(6))
    widths = [[3 + 2 * len(own[number].rows) for number in numbers] for numbers in stacks]
    assert all(len(some) == 1 or len(some) * max(some) <= 100 for some in widths)
    assert max(map(len, stacks)) > 1
    assert list(chain(*widths)) == sorted(chain(*widths))
    assert [len(some) for some in NarrowModel(toy_model(2), most=1).stacks(own)] == [1] * 6


@pytest.mark.parametrize("dim", [1, 5])
def test_what_is_left_alone_by_no_training_is_stacked_whole(dim):
    strategy = FedAvg(2, 4, 0.5, weight_decay=0.1, max_weight=64)
    clients = mailboxes([6, 9, 6, 6, 1, 9])
    assert updates(toy_model(dim), clients, strategy, "on") == updates(toy_model(dim), clients, strategy, "off")


def test_a_word_model_that_cannot_be_stacked_trains_whole():
    model, clients = Alone(WORDS, 3), mailboxes([6, 6])
    model.vector[:] = toy_model(3).vector
    assert updates(model, clients, TRAINED, "auto") == updates(toy_model(3), clients, TRAINED, "auto")


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("choice", ["on", "off"])
def test_a_fault_in_a_stack_costs_its_own_client_only(choice):
    model, clients = toy_model(3), mailboxes([8] * 8)
    good = updates(model, clients, TRAINED, choice)
    clients[1].data.indices[0] = WORDS
    clients[2].data.labels[3] = np.nan
    clients[4].data.labels[:] = 1e6
    clients[5] = Client("alice", FailingBags(OSError("disk on fire"), size=8))
    clients[6].data.offsets[2] = clients[6].data.offsets[3] + 1
    found = updates(model, clients, TRAINED, choice)
    assert {client for client, result in found.items() if isinstance(result, Lost)} == {1, 2, 4, 5, 6}
    assert all(found[client] == good[client] for client in (0, 3, 7))
    assert f"vocabulary index {WORDS} is out of range" in found[1].reason
    assert "NaN" in found[2].reason
    assert "outside the bound" in found[4].reason
    assert found[5].reason == "OSError: disk on fire"
    assert all(found[client].refused for client in (1, 2, 4))


@pytest.mark.parametrize("choice", ["on", "off"])
def test_whom_the_strategy_refuses_in_a_stack_is_named_and_the_others_are_spared(choice, caplog):
    strategy, model, clients = OfTwoClasses(1, 4, 0.5, max_weight=64), toy_model(3), mailboxes([8] * 6)
    good = updates(model, clients, strategy, choice)
    clients[1].data.labels[3], clients[4].data.labels[0] = 2, -1
    found = updates(model, clients, strategy, choice)
    assert found[1] == Lost(1, "a label of 2", refused=True)
    assert (found[4].client, found[4].reason, found[4].refused) == (4, "OSError: disk on fire", False)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["c1: a label of 2", "c4: failed in round 1, OSError: disk on fire"]
    assert all(found[client] == good[client] for client in (0, 2, 3, 5))


def test_every_pool_and_every_choice_trains_the_same_model():
    def trained(pool, choice: str) -> bytes:
        model: Model = toy_model(5)
        Aggregator(model, TRAINED, toy_plain(), cohort=9, stack=choice).fit(pool, 3)
        return model.vector.tobytes()

    clients = mailboxes([6, 9, 6, 6, 1, 9, 6, 6, 6, 2, 6])
    models = {trained(InlinePool(clients), choice) for choice in ("auto", "on", "off")}
    models.add(trained(ProcessPool(clients, workers=2), "auto"))
    assert len(models) == 1


@given(st.integers(1, 4), st.integers(1, 7), st.data())
def test_stacked_bags_are_taken_client_by_client(clients, messages, data):
    parts = [mails(messages, 4, seed=i) for i in range(clients)]
    rows = st.lists(st.integers(0, messages - 1), min_size=3, max_size=3)
    order = np.array([data.draw(rows) for _ in parts])
    some = data.draw(st.slices(3))
    taken = stack(parts).take(order).take(some)
    assert isinstance(taken, StackedBags)
    expected = [part.take(mine).take(some) for part, mine in zip(parts, order, strict=True)]
    indices, offsets = taken.inputs
    assert np.array_equal(indices, np.concatenate([part.indices for part in expected]))
    assert np.array_equal(taken.targets, [part.targets for part in expected])
    lengths = np.diff(np.append(offsets, len(indices))).reshape(offsets.shape)
    assert np.array_equal(lengths, [np.diff(part.offsets) for part in expected])
    assert len(taken) == len(expected[0])


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_rows_of_whole_numbers_are_bags_of_a_stack_too(mode):
    weight = np.random.default_rng(0).standard_normal((2, 7, 3)).astype(np.float32)
    words = np.random.default_rng(1).integers(7, size=(2, 4, 5))
    found = F.embedding_bag(words, weight, mode=mode)
    assert found.shape == (2, 4, 3)
    assert all(np.array_equal(found[k], F.embedding_bag(words[k], weight[k], mode=mode)) for k in range(2))


def test_a_mailbox_of_bags_without_words_is_fine():
    empty = Bags(np.zeros(0, np.int32), np.zeros(4, np.int64), np.ones(3, np.float32))
    found = updates(toy_model(3), [Client("empty", empty), Client("full", toy_bags(3, 0))], TRAINED, "auto")
    assert all(isinstance(result, bytes) for result in found.values())
