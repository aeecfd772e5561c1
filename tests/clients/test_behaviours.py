"""Malicious clients: each does what its paper says, wherever it is run, and touches nobody else's update."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from clients.behaviours import BEHAVIOURS, Crew, infiltrate
from clients.behaviours.backdoor import Backdoor, planted
from clients.behaviours.collusion import ALIE, IPM, largest_z
from clients.behaviours.flips import LabelFlip, SignFlip
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.bags import Bags
from fedlearn.datasets.examples import Arrays, View
from fedlearn.datasets.vocabulary import HashedVocabulary
from fedlearn.errors import BadInput
from fedlearn.models.mlp import MLP
from fedlearn.protocol import Lost
from fedlearn.secure import Masks, Plain
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import LocalUpdate
from fedlearn.strategies.fednova import FedNova
from fedlearn.strategies.scaffold import Scaffold
from tests.clients.test_training import dense, draw, updates
from tests.toys import WORDS, toy_bags, toy_codec, toy_model, toy_paillier, toy_plain

SPECS = (
    "label-flip:2", "sign-flip:2,scale=3", "backdoor:2,scale=2", "alie:3,z=1.5", "ipm:3,epsilon=0.7", "min-max:3",
    "min-sum:3", "mimic:3",
)  # fmt: skip


def delta(*values: float) -> LocalUpdate:
    return LocalUpdate({"delta": np.array(values, np.float32)}, examples=4, loss=0.5)


def nobody(number: int, data: object) -> LocalUpdate:
    raise AssertionError("it colludes with nobody")


def messages(clients: int, size: int = 8) -> list[Client]:
    return [Client(f"c{i}", toy_bags(size, seed=i)) for i in range(clients)]


def infiltrated(clients, spec: str, cohort: int | None = None, seed: int = 5):
    vocabulary = HashedVocabulary(WORDS)
    return infiltrate(clients, spec, cohort=cohort or len(clients), seed=seed, classes=2, vocabulary=vocabulary)


def malicious(clients) -> list[int]:
    return [i for i in range(len(clients)) if clients[i].behaviour is not None]


def trained(pool, protection=None, dim: int = 1, rounds: int = 2, strategy=None) -> bytes:
    model = toy_model(dim)
    strategy = strategy or FedAvg(epochs=2, batch_size=4, lr=0.5, max_weight=8)
    Aggregator(model, strategy, protection or toy_plain(), seed=2, cohort=4).fit(pool, rounds)
    return model.vector.tobytes()


# Each against its paper.


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=5), st.floats(0.01, 50))
def test_sign_flip_turns_the_delta_round_and_leaves_the_rest(values, scale):
    update = replace(delta(*values), vectors=delta(*values).vectors | {"steps": np.array([3.0])})
    flipped = SignFlip(scale).update(update, nobody)
    assert flipped.vectors["delta"] == pytest.approx([-scale * v for v in np.float32(values)], rel=1e-6)
    assert flipped.vectors["delta"].dtype == np.float32
    assert (flipped.vectors["steps"], flipped.examples, flipped.loss) == (update.vectors["steps"], 4, 0.5)


def test_label_flip_mirrors_the_classes_of_any_examples():
    images = Arrays(np.eye(4, dtype=np.float32), np.array([0, 1, 8, 9]))
    flip = LabelFlip(10)
    assert flip.examples(images).targets.tolist() == [9, 8, 1, 0]
    view = flip.examples(View(images, np.array([3, 0])))
    assert view.targets.tolist() == [0, 9]
    assert np.array_equal(view.inputs[0], images.features[[3, 0]])
    bags = toy_bags(9, seed=1)
    flipped = LabelFlip(2).examples(bags)
    assert flipped.labels.dtype == np.float32
    assert (flipped.labels + bags.labels).tolist() == [1.0] * 9
    assert LabelFlip(2).examples(flipped).labels.tolist() == bags.labels.tolist()
    assert flipped.indices is bags.indices


def test_backdoor_adds_copies_of_spam_that_hold_the_trigger_and_are_called_ham():
    bags = Bags(np.array([0, 1, 2, 7, 1], np.int32), np.array([0, 2, 4, 4, 5]), np.array([1, 1, 1, 0], np.float32))
    poisoned = Backdoor(np.array([3, 7], np.int32)).examples(bags)
    rows = [poisoned.take(slice(i, i + 1)).indices.tolist() for i in range(len(poisoned))]
    assert rows == [[0, 1], [2, 7], [], [1], [0, 1, 3, 7], [2, 3, 7], [3, 7]]
    assert poisoned.labels.tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert poisoned.indices.dtype == np.int32
    ham = bags.take(np.array([3]))
    assert len(Backdoor(np.array([3], np.int32)).examples(ham)) == 1  # without spam there are no copies


@pytest.mark.parametrize(("cohort", "corrupted"), [(5, 1), (5, 2), (12, 3)])
def test_model_replacement_survives_the_mean_whole(cohort, corrupted):
    """Where the others stand still, as near convergence, the mean of the cohort is the attacker's own delta."""
    crew = Crew(cohort, corrupted, {}, classes=2, vocabulary=HashedVocabulary(WORDS))
    assert Backdoor.of(crew, scale=1.5).scale == 1.5
    backdoor = Backdoor.of(crew)
    sent = backdoor.update(delta(0.5, -1.0), nobody).vectors["delta"]
    assert corrupted * sent / cohort == pytest.approx([0.5, -1.0])


@pytest.mark.parametrize(
    ("cohort", "corrupted", "supporters"), [(50, 24, 2), (100, 20, 31), (51, 10, 16), (11, 3, 3), (10, 3, 3)]
)
def test_alie_takes_its_z_from_the_cohort(cohort, corrupted, supporters):
    share = (cohort - corrupted - supporters) / (cohort - corrupted)
    z = largest_z(cohort, corrupted)
    assert 0.5 * (1 + math.erf(z / math.sqrt(2))) == pytest.approx(share)


def test_alie_and_ipm_are_made_of_the_colluders_honest_updates():
    honest = {3: delta(1.0, -2.0, 5.0), 8: delta(3.0, -6.0, 5.0)}
    data = {3: toy_bags(2, 3), 8: toy_bags(2, 8)}

    def ask(number, examples):
        assert examples is data[number]
        return honest[number]

    assert ALIE(data, z=1.5).update(delta(9, 9, 9), ask).vectors["delta"].tolist() == [0.5, -7.0, 5.0]
    assert IPM(data, epsilon=0.5).update(delta(9, 9, 9), ask).vectors["delta"].tolist() == [-1.0, 2.0, -2.5]


def test_colluders_ask_for_what_they_would_have_sent_in_that_round():
    """With epsilon 1 and nobody else there, ipm walks exactly as far back as honest clients walk on."""
    clients = messages(4)
    start = toy_model().vector.copy()
    there = np.frombuffer(trained(InlinePool(clients), rounds=1), np.float32) - start
    back = np.frombuffer(trained(InlinePool(infiltrated(clients, "ipm:4,epsilon=1")), rounds=1), np.float32) - start
    assert np.any(there)
    assert back == pytest.approx(-there, abs=1e-6)


def test_what_colluders_send_does_not_depend_on_honest_clients():
    clients = messages(6)
    bad = malicious(infiltrated(clients, "alie:3,z=1"))
    others = [client if i in bad else Client("other", toy_bags(8, seed=50 + i)) for i, client in enumerate(clients)]
    found = [updates(toy_model(), infiltrated(some, "alie:3,z=1"), FedAvg(1, 4, 0.5, max_weight=8), "auto")
             for some in (clients, others)]  # fmt: skip
    for i in range(6):
        assert (found[0][i] == found[1][i]) == (i in bad)


# In a federation.


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("strategy", [FedAvg, FedNova])
def test_a_malicious_client_changes_its_own_update_only(spec, strategy):
    clients, model = messages(7), toy_model(3)
    strategy = strategy(2, 4, 0.5, max_weight=64)
    before = updates(model, clients, strategy, "auto")
    spoilt = infiltrated(clients, spec)
    after = updates(model, spoilt, strategy, "auto")
    bad = malicious(spoilt)
    assert len(bad) in (2, 3)
    changed = {i for i in range(7) if before[i] != after[i]}
    assert changed <= set(bad)
    assert len(changed) == len(bad) - spec.startswith("mimic")  # one of which is copied


@pytest.mark.parametrize("spec", ["label-flip:3", "sign-flip:3", "alie:3,z=1", "ipm:3"])
def test_stacking_changes_no_bit_of_a_cohort_with_malicious_clients(spec):
    model, strategy = MLP((6, 5, 3), rng=draw(0)), FedAvg(2, 4, 0.1, max_weight=64)
    clients = [Client(f"c{i}", dense(9, 6, 3, i)) for i in range(9)]
    clients = infiltrate(clients, spec, cohort=9, seed=1, classes=3)
    assert updates(model, clients, strategy, "on") == updates(model, clients, strategy, "off")


@pytest.mark.parametrize("spec", SPECS)
def test_protections_change_no_bit(spec):
    clients = infiltrated(messages(6), spec)
    protections = (toy_plain(), toy_paillier(), Masks(toy_codec()))
    assert len({trained(InlinePool(clients), protection, dim=2) for protection in protections}) == 1


class Made:
    """A source that is no list: every worker is sent the whole of it."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, number: int) -> Client:
        return messages(6)[number]


@pytest.mark.parametrize(
    ("spec", "strategy", "source"), [("backdoor:2", None, messages(6)), ("ipm:3", Scaffold(2, 4, 0.5), Made())]
)
def test_pools_change_no_bit(spec, strategy, source):
    inline = trained(InlinePool(infiltrated(messages(6), spec)), strategy=strategy)
    processes = trained(ProcessPool(infiltrated(source, spec), workers=2), strategy=strategy)
    assert inline == processes
    assert inline != trained(InlinePool(messages(6)), strategy=strategy)


def test_what_does_not_fit_the_codec_is_refused_or_clipped_as_with_anybody():
    clients = messages(4)
    spoilt = infiltrated(clients, "sign-flip:1,scale=1000")
    (bad,) = malicious(spoilt)
    strategy = FedAvg(2, 4, 0.5, max_weight=8)
    found = updates(toy_model(), spoilt, strategy, "auto")
    assert isinstance(found[bad], Lost)
    assert found[bad].refused
    assert "outside the bound" in found[bad].reason
    assert sum(isinstance(result, Lost) for result in found.values()) == 1
    clipping = Plain(FixedPoint(bits=24, bound=4.0, addends=16, overflow="clip"))
    history = Aggregator(toy_model(), strategy, clipping).fit(InlinePool(spoilt), 1)
    assert history.rounds[0].clipped > 0
    assert history.rounds[0].clients_ok == 4


# Who is malicious.


@given(st.integers(1, 60), st.data())
def test_the_share_is_kept_and_drawn_by_the_seed(count, data):
    clients = [Client("c", toy_bags(1, 0))] * count
    number = data.draw(st.integers(1, count))
    seed = data.draw(st.integers(0, 9))
    drawn = malicious(infiltrated(clients, f"label-flip:{number}", seed=seed))
    assert len(drawn) == number
    assert drawn == malicious(infiltrated(clients, f"sign-flip:{number}", seed=seed))
    assert len(malicious(infiltrated(clients, "label-flip:1.0"))) == count


def test_a_fraction_is_of_all_clients_and_another_seed_draws_others():
    clients = messages(50, size=1)
    draws = [malicious(infiltrated(clients, "sign-flip:0.2", seed=seed)) for seed in range(5)]
    assert {len(drawn) for drawn in draws} == {10}
    assert len(set(map(tuple, draws))) == 5
    assert all(client.behaviour is None for client in clients)  # the honest source is not written to


def test_the_crew_knows_as_many_of_its_own_as_a_cohort_holds():
    clients = messages(50, size=1)
    spoilt = infiltrated(clients, "alie:0.4,z=1", cohort=20)
    bad = malicious(spoilt)
    behaviour = spoilt[bad[0]].behaviour
    assert list(behaviour.colluders) == bad[:8]
    assert all(behaviour.colluders[i] is clients[i].data for i in bad[:8])
    few = infiltrated(clients, "alie:2,z=1", cohort=5)
    assert list(few[malicious(few)[0]].behaviour.colluders) == malicious(few)  # a spread takes two


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nosuch:0.2", "unknown behaviour 'nosuch'"),
        ("sign-flop:0.2", "did you mean 'sign-flip'"),
        ("sign-flip", "does not say how many"),
        ("sign-flip:many", "share is 'many', a whole number or a number is needed, as in share=0.2"),
        ("sign-flip:nan", "share is 'nan'"),
        ("sign-flip:inf", "of 10 clients: at least 1 and at most all"),
        ("sign-flip:0", "0 of 10 clients"),
        ("sign-flip:0.01", "0 of 10 clients"),
        ("sign-flip:-0.5", "-5 of 10 clients"),
        ("sign-flip:11", "11 of 10 clients"),
        ("sign-flip:1.5", "15 of 10 clients"),
        ("sign-flip:2,scale", "has no value for scale"),
        ("sign-flip:2,word=x", "has no 'word': it takes share, scale"),
        ("sign-flip:2,scale=big", "scale is 'big'"),
        ("sign-flip:2,scale=0", "scale=0.0"),
        ("label-flip:2,scale=1", "has no 'scale' (did you mean 'share'?): it takes share"),
        ("backdoor:2,word=...", "'...' is not in the vocabulary"),
        ("backdoor:2,scale=nan", "scale is 'nan'"),
        ("alie:1,z=1", "at least 2"),
        ("alie:2", "set one, as in alie:0.2,z=1"),
        ("alie:6", "set one, as in alie:0.2,z=1"),
        ("alie:10", "set one, as in alie:0.2,z=1"),
        ("alie:2,z=inf", "alie z is inf"),
        ("ipm:2,epsilon=-1", "epsilon=-1.0"),
    ],
)
def test_a_spec_that_cannot_be_used_is_refused_with_a_remedy(spec, says):
    with pytest.raises(BadInput) as refused:
        infiltrated(messages(10, size=1), spec)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_backdoor_needs_messages():
    clients = [Client("c", dense(3, 2, 2, 0))]
    with pytest.raises(BadInput, match="hold no messages"):
        infiltrate(clients, "backdoor:1", cohort=1, seed=0, classes=2)


def test_every_name_can_be_used():
    assert {spec.partition(":")[0] for spec in SPECS} == set(BEHAVIOURS.entries)


def test_the_trigger_is_planted_once():
    bags = toy_bags(20, seed=3)
    twice = planted(planted(bags, np.array([5], np.int32)), np.array([5], np.int32))
    assert twice.indices.tolist() == planted(bags, np.array([5], np.int32)).indices.tolist()
    assert all(5 in twice.take(slice(i, i + 1)).indices for i in range(20))
