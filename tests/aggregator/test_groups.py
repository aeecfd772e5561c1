"""Cohorts that are cut into groups: every protection opens each group's sum, and a rule combines their means."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from aggregator.groups import RoundTask
from aggregator.robust import Combined, Rule
from aggregator.robust.defence import Defence
from aggregator.robust.fltrust import FLTrust
from clients import Client, InlinePool, ProcessPool
from clients.behaviours.flips import SignFlip
from fedlearn.attacks.observed import Observed
from fedlearn.groups import cut
from fedlearn.protocol import PartyView, TrainRequest
from fedlearn.sampling import Sampler
from fedlearn.secure import Masks, Plain, Threshold
from fedlearn.seeding import local_random
from fedlearn.strategies.scaffold import Scaffold
from tests.toys import (
    TOY_BITS,
    FailingBags,
    fitted,
    toy_bags,
    toy_clients,
    toy_codec,
    toy_model,
    toy_paillier,
    toy_plain,
    toy_strategy,
)  # fmt: skip

COUNT, SIZE = 12, 3


class Three(Plain):
    """No protection, and no group of fewer than three."""

    min_cohort = 3


PROTECTIONS = {
    "none": toy_plain,
    "paillier": toy_paillier,
    "masks": lambda: Masks(toy_codec()),
    "threshold": lambda: Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True),
}
PROTECTED = [name for name in PROTECTIONS if name != "none"]
GROUPS = cut(5, 1, range(COUNT), SIZE)
VICTIM = min(GROUPS[1])


def run(protection="none", pool=None, strategy=None, rounds=2, robust="nnm+trimmed", group_size=SIZE, **settings):
    model = toy_model()
    hidden = Three(toy_codec()) if protection == "three" else PROTECTIONS[protection]()
    aggregator = Aggregator(
        model, strategy or toy_strategy(), hidden, seed=5,
        robust=robust, group_size=group_size, **settings,
    )  # fmt: skip
    return fitted(aggregator, pool or InlinePool(toy_clients(COUNT)), rounds), model.vector.tobytes()


def absent(*numbers: int) -> list[Client]:
    """All clients, of which these fail whenever they are asked to train."""
    own = toy_clients(COUNT)
    for number in numbers:
        own[number] = Client(f"client-{number}", FailingBags(OSError("the disk is gone")))
    return own


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run of each kind, its history, model and folder: of one round in which these are absent, or of two."""

    @cache
    def kept_run(protection: str, pool: type, *lost: int):
        path = tmp_path_factory.mktemp("runs") / "run"
        folder = RunFolder(path, {}, {}, record=True)
        return *run(protection, pool(absent(*lost)), rounds=1 if lost else 2, folder=folder), path

    return kept_run


class Hidden(Sampler):
    """Takes everybody, and no plan says so."""

    def sample(self, seed, round, population, size):
        return list(range(population))


class Hopeless(Rule):
    """The first vector: it stands nobody, among however many."""

    def most(self, n):
        return 0

    def combine(self, points, beside):
        return Combined(points.vectors[0])


# How cohorts are cut


def test_groups_are_disjoint_hold_everybody_and_are_never_too_small():
    for count in range(SIZE, 40):
        groups = cut(1, 1, range(count), SIZE)
        assert sorted(client for group in groups for client in group) == list(range(count))
        assert all(SIZE <= len(group) < 2 * SIZE for group in groups)
    assert cut(1, 1, range(2), SIZE) == (frozenset({0, 1}),)


def test_groups_follow_from_seed_and_round_and_from_nothing_else():
    assert cut(5, 1, [3, 1, 2, 0, 5, 4], 2) == cut(5, 1, range(6), 2)
    assert len({cut(seed, round, range(COUNT), SIZE) for seed in range(3) for round in range(3)}) == 9


# What comes out


@pytest.mark.parametrize("protection", PROTECTED)
def test_the_same_groups_give_the_same_model_under_every_protection(protection, kept):
    history, model, path = kept(protection, InlinePool)
    plain, expected, _ = kept("none", InlinePool)
    assert model == expected
    assert [record.robust for record in history.rounds] == [record.robust for record in plain.rounds]
    assert [set(group) for group in history.rounds[0].robust["groups"]] == [set(group) for group in GROUPS]
    assert {row["groups"] for row in history.rows()} == {len(GROUPS)}
    sums = Observed(PartyView.load(path)).readable()  # the aggregator reads sums of groups, and no others
    assert [(vector.round, vector.addends) for vector in sums] == [(r, SIZE) for r in (1, 2) for _ in GROUPS]
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [len(row["robust"]["groups"]) for row in rows] == [4, 4]


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_processes_give_the_same_model(protection):
    with_processes = run(protection, ProcessPool(toy_clients(COUNT), workers=2), rounds=1)
    assert with_processes[1] == run("none", rounds=1)[1]


def test_a_round_is_the_rule_over_the_groups_means():
    """Each group's mean is what a federation of that group alone learns."""
    _, model = run(robust="median", rounds=1)
    start = toy_model().vector
    means = []
    for group in GROUPS:
        members = [client if i in group else Client("none", FailingBags(OSError())) for i, client in
                   enumerate(toy_clients(COUNT))]  # fmt: skip
        alone = toy_model()
        fitted(Aggregator(alone, toy_strategy(), toy_plain(), seed=5), InlinePool(members), 1)
        means.append(alone.vector - start)
    expected = start + np.median(means, axis=0)
    assert np.frombuffer(model, np.float32) == pytest.approx(expected, abs=1e-6)


def test_single_updates_without_protection():
    """The group is one client, and the record says whom Krum took."""
    history, _ = run(robust="multikrum:f=2", group_size=None)
    robust = history.rounds[0].robust
    assert robust["groups"] == [[client] for client in sorted(range(COUNT), key=_place)]
    assert len(robust["chosen"]) == COUNT - 2
    assert len(robust["norms"]) == len(robust["scores"]) == COUNT
    taken = [robust["scores"][i] for i in robust["chosen"]]
    assert max(taken) <= min(set(robust["scores"]) - set(taken))
    assert history.rounds[0].error_bound is None


def _place(client: int) -> int:
    return [client in group for group in cut(5, 1, range(COUNT), 1)].index(True)


def test_a_scaled_update_is_outvoted():
    """One client sends a hundred times its update: it moves the mean, and not the median of groups."""

    def attacked(**settings):
        own = toy_clients(COUNT)
        own[0] = Client("client-0", own[0].data, behaviour=Scaled())
        history = fitted(
            Aggregator(toy_model(), toy_strategy(), toy_plain(), seed=5, **settings), InlinePool(own), 1
        )  # fmt: skip
        return history

    from clients.behaviours import Behaviour
    from clients.behaviours.base import with_delta

    class Scaled(Behaviour):
        def update(self, update, honest):
            return with_delta(update, np.clip(100 * update.vectors["delta"], -3.9, 3.9))

    history = attacked(robust="multikrum:f=1", group_size=2)
    (spoiled,) = [i for i, group in enumerate(history.rounds[0].robust["groups"]) if 0 in group]
    assert spoiled not in history.rounds[0].robust["chosen"]
    assert np.argmax(history.rounds[0].robust["norms"]) == spoiled


def test_fltrust_listens_to_those_who_agree_with_what_the_aggregator_learned_itself():
    own = toy_clients(COUNT)
    for number in (2, 7):
        own[number] = Client("liar", own[number].data, behaviour=SignFlip(3.0))
    rule = FLTrust(toy_bags(30, seed=99))
    history, model = run(pool=InlinePool(own), robust=rule, group_size=1, rounds=2)
    robust = history.rounds[0].robust
    taken = {client for i in robust["chosen"] for client in robust["groups"][i]}
    assert taken
    assert not taken & {2, 7}
    assert model == run(pool=InlinePool(own), robust=rule, group_size=1, rounds=2)[1]


def test_the_aggregators_own_update_is_trained_as_by_a_client_with_a_number_that_nobody_has():
    model, strategy, data = toy_model(), toy_strategy(), toy_bags(30, seed=99)
    request = TrainRequest(model.vector.copy())
    shuffles = local_random(5, 2, 2**32 - 1)
    expected = strategy.local_update(toy_model(), data, {}, shuffles).vectors["delta"]
    defence = Defence(FLTrust(data), 1, COUNT, strategy, model)
    assert np.array_equal(defence.own_update(5, RoundTask(2, tuple(range(COUNT)), request)), expected)


def test_what_a_rule_remembers_survives_a_resume(tmp_path):
    def kept(path, rounds, resume=False):
        folder = RunFolder(path, {}, {}, resume=resume)
        return run(robust="centred:radius=0.05", rounds=rounds, folder=folder)[1]

    whole = run(robust="centred:radius=0.05", rounds=4)[1]
    kept(tmp_path / "run", 2)
    assert kept(tmp_path / "run", 4, resume=True) == whole


# Groups that cannot go on


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_group_that_loses_too_many_is_left_out_and_named(protection, kept):
    history, model, _ = kept(protection, InlinePool, VICTIM)
    record = history.rounds[0]
    if protection == "none":  # where a group of two is opened too
        assert record.clients_ok == COUNT - 1
        return
    assert [set(group) for group in record.robust["groups"]] == [set(GROUPS[i]) for i in (0, 2, 3)]
    assert record.clients_ok == COUNT - SIZE
    assert set(record.lost) == set(GROUPS[1])
    other = next(iter(GROUPS[1] - {VICTIM}))
    assert "group 1 was left out" in record.lost[other]
    assert (record.robust["numbers"], record.robust["left_out"]) == ([0, 2, 3], [1])
    assert model == kept("three", InlinePool, VICTIM)[1]


@pytest.mark.parametrize(
    ("protection", "pool"),
    [*((protection, InlinePool) for protection in ("three", *PROTECTED)), ("masks", ProcessPool)],
)
def test_clients_of_a_group_that_was_left_out_are_told(protection, pool, kept):
    """By a message of fixed size, to which each answers; whoever was lost before is not asked."""
    history, _, path = kept(protection, pool, VICTIM)
    rows = [json.loads(line) for line in (path / "transcript.jsonl").read_text().splitlines()]
    told = [(row["from"], row["to"], row["bytes"]) for row in rows if row["type"] == "LeftOut"]
    others = [f"client:{client}" for client in sorted(GROUPS[1] - {VICTIM})]
    assert told[:2] == [("aggregator", other, 56) for other in others]
    assert {*told[2:]} == {(other, "aggregator", 56) for other in others}
    assert len(told) == 4
    assert history.rounds[0].robust["left_out"] == [1]


def test_a_client_does_not_believe_that_a_group_of_others_is_its_own(tmp_path, monkeypatch, caplog):
    """The aggregator names another group's number: no client answers, and the round goes on."""
    from aggregator import attempt

    tell = attempt.tell_left_out
    monkeypatch.setattr(attempt, "tell_left_out", lambda p, step, who: tell(p, replace(step, group=2), who))
    history, _ = run("paillier", InlinePool(absent(min(GROUPS[1]))), folder=tmp_path / "run", rounds=1)
    assert history.rounds[0].robust["left_out"] == [1]
    rows = [json.loads(line) for line in (tmp_path / "run" / "transcript.jsonl").read_text().splitlines()]
    assert {row["from"] for row in rows if row["type"] == "LeftOut"} == {"aggregator"}
    assert "this client is not of group 2 in round 1" in caplog.text


def test_too_few_groups_make_the_round_void():
    history, _ = run("paillier", InlinePool(absent(*(min(group) for group in GROUPS))), rounds=1)
    assert "groups are left, 2 are needed; group" in history.rounds[0].void


def test_a_larger_group_goes_on_without_one():
    history, _ = run("paillier", InlinePool(absent(3)), rounds=1, group_size=6, robust="trimmed:f=0")
    assert history.rounds[0].clients_ok == COUNT - 1
    assert len(history.rounds[0].robust["groups"]) == 2


def test_faults_count_by_group():
    history, model = run("paillier", rounds=3, group_size=4, faults="dropout=0.1,over_select=0", robust="median")
    plain, expected = run("none", rounds=3, group_size=4, faults="dropout=0.1,over_select=0", robust="median")
    assert any(record.lost for record in history.rounds)
    if all(len(group) >= 3 for record in plain.rounds for group in record.robust["groups"]):
        assert model == expected


def test_clients_of_a_group_that_was_left_out_keep_the_state_they_had():
    """SCAFFOLD: who is not in a sum goes on as if it had not trained, under every protection alike."""
    strategy = Scaffold(epochs=1, batch_size=4, lr=0.1)
    pools = {p: InlinePool(absent(VICTIM)) for p in ("paillier", "masks")}
    models = {run(p, pool, strategy, rounds=3, robust="bucketing:size=1+trimmed")[1] for p, pool in pools.items()}
    assert len(models) == 1


# What is opened, and what is seen
