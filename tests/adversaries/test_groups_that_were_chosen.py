"""An aggregator that wants another sum than that of a group as the plan cuts it: openers and clients refuse."""

from __future__ import annotations

import pytest

from aggregator import Aggregator
from clients import InlinePool
from fedlearn.errors import BadInput, OpeningRefused
from fedlearn.groups import cut
from fedlearn.secure import Masks, Threshold
from fedlearn.secure.opened import OpenedRounds
from tests.toys import TOY_BITS, fitted, toy_clients, toy_codec, toy_model, toy_paillier, toy_strategy

COUNT, SIZE = 12, 3
SIGNED = {
    "paillier": toy_paillier,
    "threshold": lambda: Threshold(2, 3, TOY_BITS, toy_codec(), insecure_test_key=True),
}


def run(protection, rounds=1):
    aggregator = Aggregator(
        toy_model(), toy_strategy(), protection, seed=5, robust="median", group_size=SIZE
    )  # fmt: skip
    return fitted(aggregator, InlinePool(toy_clients(COUNT)), rounds).rounds[0]


@pytest.fixture
def swapped(monkeypatch):
    """The aggregator has two clients change places, so that one of them has the company that it likes."""

    def chosen(*arguments):
        first, second, *rest = cut(*arguments)
        one, other = min(first), min(second)
        return first - {one} | {other}, second - {other} | {one}, *rest

    monkeypatch.setattr("aggregator.session.cut", chosen)


@pytest.mark.usefixtures("swapped")
@pytest.mark.parametrize("protection", SIGNED)
def test_openers_cut_the_cohort_by_themselves(protection):
    record = run(SIGNED[protection]())
    assert len(record.robust["groups"]) == 2
    assert "not the product of the updates" in "".join(record.lost.values())


@pytest.mark.usefixtures("swapped")
def test_under_masks_clients_do():
    record = run(Masks(toy_codec()))
    assert len(record.robust["groups"]) == 2


@pytest.mark.parametrize("protection", SIGNED)
def test_a_group_is_opened_once(protection, monkeypatch):
    """The aggregator asks for each sum twice."""
    from aggregator.attempt import Attempt

    opened = Attempt._open_groups

    def twice(self):
        first = opened(self)
        with pytest.raises(Exception, match="opened before"):
            opened(self)
        return first

    monkeypatch.setattr(Attempt, "_open_groups", twice)
    assert len(run(SIGNED[protection]()).robust["groups"]) == 4


def test_no_sum_without_groups_where_the_plan_has_them(monkeypatch):
    """The aggregator adds all that came in, and asks for the sum of the whole cohort."""
    monkeypatch.setattr("aggregator.session.cut", lambda seed, round, cohort, size: (frozenset(cohort),) * 1)
    monkeypatch.setattr("aggregator.robust.defence.Defence.least", 1)
    record = run(toy_paillier())
    assert "not the product of the updates" in record.void


def opener(least=3, overlap=None) -> OpenedRounds:
    return OpenedRounds(least, overlap)


def open_one(opened, number, clients, model=b"model"):
    opened.check_number(number, 9)
    opened.check_overlap(number, clients)
    opened.enter(number, model, clients)


def test_groups_of_a_round_share_nobody():
    opened = opener()
    open_one(opened, (1, 0), {0, 1, 2})
    with pytest.raises(OpeningRefused, match="1 client of this group took part in round 1,"):
        open_one(opened, (1, 1), {2, 3, 4})
    open_one(opened, (1, 2), {3, 4, 5})


@pytest.mark.parametrize(
    "later",
    [
        {0, 1, 2, 3},  # minus the first group: client 3
        {0, 1, 2, 3, 4, 5, 6},  # minus both: client 6
        {0, 1, 3, 4, 5},  # minus the second: clients 0 and 1
    ],
)
def test_sums_of_two_rounds_of_one_model_are_not_subtracted_to_give_fewer(later):
    opened = opener()
    open_one(opened, (1, 0), {0, 1, 2})
    open_one(opened, (1, 1), {3, 4, 5})
    with pytest.raises(OpeningRefused, match="fewer than 3 clients"):
        open_one(opened, (2, 0), later)
    open_one(opened, (2, 1), later, b"another model")


def test_with_a_limit_on_overlaps_this_holds_whatever_the_model():
    opened = opener(overlap=1)
    open_one(opened, (1, 0), {0, 1, 2})
    with pytest.raises(OpeningRefused, match="2 clients of this"):
        open_one(opened, (2, 3), {0, 1, 5}, b"another model")


def test_many_small_groups_of_one_model_are_audited_in_no_time():
    """What shares no client needs no trial: with min_cohort 5 and 40 groups, trying all subsets would be refused."""
    opened = opener(5)
    for group in range(40):
        open_one(opened, (1, group), set(range(5 * group, 5 * group + 5)))
    with pytest.raises(OpeningRefused, match="fewer than 5 clients"):
        open_one(opened, (2, 0), set(range(12)))


@pytest.mark.parametrize("number", [(1, 2), (1, 0), (0, 0), (10, 0)])
def test_numbers_rise_and_no_sum_is_opened_twice(number):
    opened = opener()
    open_one(opened, (1, 2), {0, 1, 2})
    with pytest.raises(OpeningRefused, match=r"opened before|asked for after"):
        open_one(opened, number, {5, 6, 7})


def test_an_earlier_sessions_groups_are_opened_again_for_the_same_clients_and_its_others_for_the_first_time(tmp_path):
    first = opener()
    first.recall(tmp_path / "memory")
    open_one(first, (1, 0), {0, 1, 2})
    open_one(first, (1, 1), {3, 4, 5})
    again = opener()
    again.recall(tmp_path / "memory")
    with pytest.raises(OpeningRefused, match="only for the same clients"):
        open_one(again, (1, 0), {0, 1, 6})
    open_one(again, (1, 0), {0, 1, 2})
    open_one(again, (1, 1), {3, 4, 5})
    open_one(again, (1, 2), {6, 7, 8})
    with pytest.raises(OpeningRefused, match="opened before"):
        open_one(again, (1, 1), {3, 4, 5})


def test_a_plan_that_names_no_sampler_is_refused():
    from dataclasses import replace

    from fedlearn.groups import group_of
    from tests.secure.plans import plan_of

    plan = replace(plan_of(toy_paillier(), 4), group_size=3)
    with pytest.raises(BadInput, match="nobody can check who is in which"):
        group_of(plan, 1, 0)
