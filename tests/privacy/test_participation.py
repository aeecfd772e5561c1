"""How many take part, by whose coins, and what a round is charged: worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from aggregator import Faults, History, RoundRecord
from aggregator.charging import Surcharge
from aggregator.cohorts import cohorts_of
from aggregator.spending import Spending, narrowed, spendable, terms_of
from fedlearn.errors import PrivacyError, RoundVoid
from fedlearn.privacy import Pld
from fedlearn.privacy.accounting import Release
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import Step
from fedlearn.sampling import RARE, Poisson, Rotation, Uniform
from fedlearn.secure import Masks, Plain
from fedlearn.seeding import stream
from tests.toys import toy_codec, toy_paillier, toy_plain

ASKED = Privacy(noise=1.0, clip=1.0)
EACH = Privacy(noise=1.0, clip=1.0, unit="example", rate=0.25, examples=4000)


def cohorts(asked=ASKED, protection=None, sampler=None, faults=None, population=100, size=20, rounds=10, **more):
    return cohorts_of(asked, protection or toy_plain(), sampler or Poisson(), faults, population, size, rounds, **more)


@pytest.mark.parametrize(("given", "amplified", "rate"), [
    ({}, True, 0.2),
    ({"sampler": Uniform()}, False, 1.0),
    ({"size": 100}, False, 1.0),
    ({"faults": Faults(dropout=0.5)}, True, 0.2),
    ({"faults": Faults(over_select=0.1)}, False, 1.0),
    ({"faults": Faults(deadline=5.0)}, False, 1.0),
    ({"groups": 2}, False, 1.0),
    ({"asked": EACH}, False, 0.25),
])  # fmt: skip
def test_sampling_counts_where_nobody_else_knows_the_cohort(given, amplified, rate):
    found = cohorts(**given)
    assert (found.amplified, found.rate) == (amplified, rate)


@pytest.mark.parametrize(("given", "sampled", "expected", "most"), [
    ({}, 20, 20, 8), ({"groups": 2}, 20, 10, 8), ({"faults": Faults(over_select=0.1)}, 22, 20, 8),
    ({"asked": EACH}, 20, 200, 20), ({"asked": EACH, "groups": 4}, 20, 50, 20),
])  # fmt: skip
def test_how_many_stand_in_a_sum_and_how_many_examples_a_client_has_room_for(given, sampled, expected, most):
    found = cohorts(**given)
    assert (found.sampled, found.expected, found.most_examples) == (sampled, expected, most)


def test_a_client_has_room_for_twice_the_examples_that_it_draws():
    many = replace(EACH, examples=10**6)
    assert cohorts(many).most_examples == cohorts(many, groups=4).most_examples == 2 * 2500
    assert cohorts(replace(EACH, examples=10)).most_examples == cohorts(replace(EACH, examples=20)).most_examples


@pytest.mark.parametrize(("protection", "size", "groups", "least"), [
    (Masks(toy_codec(), min_cohort=7), 20, 2, 7), (Masks(toy_codec(), min_cohort=3), 20, 3, 3),
    (toy_paillier(min_cohort=4), 20, 5, 4), (toy_plain(), 20, 20, 1),
])  # fmt: skip
def test_so_few_clients_may_a_sum_have(protection, size, groups, least):
    found = cohorts(protection=protection, size=size, groups=groups)
    assert (found.least, found.groups) == (least, groups)
    if least > 1:
        part = "cohort" if groups == 1 else "group"
        with pytest.raises(PrivacyError) as refused:
            cohorts(protection=protection, size=least * groups - 1, groups=groups)
        few = (least * groups - 1) // groups
        assert str(refused.value) == (
            f"a {part} of {few} clients has less noise than {least} of them add: raise the {part}"
        )
        with pytest.raises(PrivacyError, match=f"a cohort of {least - 1} clients has less noise"):
            cohorts(protection=protection, size=least - 1)
        cohorts(protection=protection, size=least)


@pytest.mark.parametrize(("surveys", "sums"), [(0, 10), (4, 14), (99, 20)])
def test_what_void_rounds_tell_of_a_coin(surveys, sums):
    found = cohorts(protection=toy_paillier(min_cohort=4), surveys=surveys)
    edge = binom.pmf(3, 99, 0.2)
    assert found.told(10) == pytest.approx(sums * (RARE + 0.2 * edge))
    assert replace(found, amplified=False).told(10) == 0.0


def test_two_sums_with_the_same_coins_are_one_with_less_noise():
    assert cohorts().releases(2.0, 10) == [Release(0.2, 2.0, 10)]
    assert cohorts(surveys=4).releases(2.0, 10) == [
        Release(0.2, 2.0, 6), Release(0.2, 2.0 / math.sqrt(2), 4)
    ]  # fmt: skip
    assert cohorts(surveys=99).releases(2.0, 10) == [Release(0.2, 2.0 / math.sqrt(2), 10)]


def test_the_most_rounds_of_one_client():
    found = cohorts(sampler=Uniform())
    counts = np.zeros(100, int)
    for round in range(1, 11):
        counts[Uniform().sample(7, round, 100, 20)] += 1
    assert found.most(7) == counts.max()
    assert cohorts(size=100).most(7) == 10


def test_no_more_than_half_of_delta_goes_to_void_rounds():
    found = cohorts(protection=toy_paillier(min_cohort=15), population=1000, size=40, rounds=10)
    told = found.told(10)
    assert spendable(replace(ASKED, delta=2.001 * told), found) == pytest.approx(1.001 * told)
    assert spendable(replace(ASKED, delta=2 * told), found) == told
    with pytest.raises(PrivacyError, match=f"privacy delta is {1.99 * told:.3g}, and {told:.3g} of it would go to"):
        spendable(replace(ASKED, delta=1.99 * told), found)


@pytest.mark.parametrize(("given", "count"), [
    ({}, 10), ({"sampler": Uniform()}, None), ({"asked": replace(EACH, noise=None, epsilon=3.0)}, 10),
    ({"sampler": Rotation()}, None), ({"asked": replace(ASKED, noise=None, epsilon=3.0, adaptive=0.5)}, 10),
])  # fmt: skip
def test_noise_for_an_epsilon_is_that_of_the_rounds_that_a_client_is_charged(given, count):
    asked = given.get("asked", replace(ASKED, noise=None, epsilon=3.0))
    found = cohorts(**{"asked": asked} | given)
    charged = terms_of(asked, toy_plain(), found, 7, 9).charged
    rounds = found.most(7) if count is None else count
    wanted = Pld().noise(3.0, spendable(asked, found), lambda noise: found.releases(noise, rounds))
    assert wanted <= charged < 1.001 * wanted


def spent(surveys: int = 0, **asked) -> Spending:
    demand = Privacy(noise=1.0, clip=1.0, seed=5, **asked)
    found = cohorts(demand, surveys=surveys)
    return Spending(demand, terms_of(demand, toy_plain(), found, 0), found, toy_plain())


def test_each_opened_sum_is_charged_once_to_whom_it_has():
    spending = spent()
    spending.charge(b"s", Step(1), [3, 5])
    spending.charge(b"s", Step(1), [3, 5])  # another group of the same attempt
    spending.charge(b"s", Step(1, 1), [3])
    spending.charge(b"s", Step(2), [5])
    assert list(spending.state()) == ["privacy.opened"]
    assert list(spent(adaptive=0.5).state()) == ["privacy.opened", "privacy.clip"]
    state = spending.state()["privacy.opened"]
    assert (state[3], state[5], state[4], state[-1]) == (2, 2, 0, 3)
    rows = spending._ledger.rows
    assert [(row.round, row.attempt, row.q, row.noise, row.count) for row in rows] == [
        (1, 0, 0.2, spending.terms.charged, 1), (1, 1, 0.2, spending.terms.charged, 2),
        (2, 0, 0.2, spending.terms.charged, 2),
    ]  # fmt: skip
    models, known = spending.epsilons(2)
    assert models < known == math.inf  # who reads single updates learns everything
    again = spent()
    again.terms = replace(again.terms, bands=2, length=9)
    again.charge(b"s", Step(1), [3])
    with pytest.raises(RoundVoid, match="its sum may have been opened before"):
        again.charge(b"s", Step(1, 1), [3])


def test_terms_of_turns_have_a_lane_for_the_clip_that_adapts():
    def length(sampler, asked=ASKED) -> tuple[int, int]:
        terms = terms_of(asked, toy_plain(), cohorts(asked, sampler=sampler), 0, 9)
        return terms.bands, terms.length

    assert length(Uniform()) == (1, 0)
    assert length(Rotation()) == (Rotation.apart(100, 20), 10)
    assert length(Rotation(), EACH) == (1, 0)
    assert length(Rotation(), replace(ASKED, where="clients")) == (1, 0)


def test_a_second_sum_is_of_the_same_clients_with_noise_of_its_own():
    first = spent(surveys=4)
    second = Surcharge.of(first, 6.0, "it").terms
    assert (second.clip, second.adaptive, second.expected, second.noise) == (6.0, 0.0, 20, first.terms.noise)
    assert second.seed == int(stream(5, "survey").integers(2**62))


def test_lanes_are_narrow_up_to_as_many_weights_as_lose_little():
    steps = terms_of(ASKED, Plain(replace(toy_codec(), bits=16)), cohorts(), 0).steps
    most = int((steps / 50) ** 2)
    assert narrowed(ASKED, toy_plain(), cohorts(), 0, most).codec.bits == 16
    assert narrowed(ASKED, toy_plain(), cohorts(), 0, most + 1).codec.bits == toy_codec().bits


def test_a_record_and_its_run_say_what_the_sums_so_far_cost():
    def entered(spending: Spending, **of_round) -> dict:
        spending.enter(RoundRecord(1, **of_round), history := History())
        return history.privacy

    bare = entered(spent())
    assert not {"bands", "groups", "adaptive", "next_clip"} & bare.keys()
    assert (bare["sums"], bare["epsilon"], bare["epsilon_aggregator"], bare["insecure"]) == (0, 0.0, 0.0, True)
    turns = spent()
    turns.terms = replace(turns.terms, bands=2, length=9)
    assert entered(turns)["bands"] == 2
    cut = spent()
    cut.cohorts = replace(cut.cohorts, groups=2)
    assert entered(cut)["groups"] == 2
    moving = spent(adaptive=0.5)
    assert entered(moving)["next_clip"] == 1.0  # a void round leaves it
    assert (found := entered(moving, below=0.9))["adaptive"] == 0.5
    assert found["next_clip"] < 1.0


@pytest.mark.parametrize(
    ("where", "ends"), [("clients", "in the codec, or min_cohort"), ("aggregator", "in the codec")]
)
def test_a_clip_of_few_steps_for_so_many_numbers_is_told(where, ends, caplog):
    demand = replace(ASKED, where=where)
    for length in (9, 10**12):
        Spending.of(demand, toy_plain(), True, length, cohorts(demand), 0)
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.endswith(f"steps for {10**12:,} numbers: rounding may take most of an update; raise bits {ends}")


def test_coins_are_new_in_each_run_but_where_a_seed_is_given():
    def coins(seed: int | None) -> bytes | None:
        demand = replace(ASKED, seed=seed)
        return Spending(demand, terms_of(demand, toy_plain(), cohorts(), 0), cohorts(), toy_plain()).coins

    assert coins(5) == coins(5) != coins(6)
    assert coins(None) != coins(None)


def test_cohorts_follow_from_secret_coins_where_these_are_claimed():
    spending = spent()
    assert spending.secret
    assert spending.cohort(0, 1, 100, 20) == spending.cohort(1, 1, 100, 20) != spending.cohort(0, 2, 100, 20)
    assert spending.coins == spending._coins
    public = spent()
    public.cohorts = replace(public.cohorts, amplified=False)
    assert public.cohort(3, 1, 100, 20) == Poisson().sample(3, 1, 100, 20)
    assert public.coins is None
