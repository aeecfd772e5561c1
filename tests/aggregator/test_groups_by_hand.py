"""Groups of a cohort and what their means become, beside values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from aggregator.groups import Group, Groups
from aggregator.journal import OpenedSum
from aggregator.robust import as_rule
from aggregator.robust.base import Beside
from aggregator.robust.defence import KEPT, Defence, groups_in
from fedlearn.errors import BadInput, RoundVoid
from fedlearn.secure import Masks, Plain
from fedlearn.secure.aggregate import Aggregate
from tests.toys import toy_codec


def test_groups_go_on_as_long_as_enough_are_left():
    parts = [Group(i, frozenset(range(3 * i, 3 * i + 3)), None) for i in range(3)]
    groups = Groups(parts, 2)
    assert [(group.number, clients) for group, clients in groups.among([8, 0, 4, 1])] == [
        (0, [0, 1]), (1, [4]), (2, [8])
    ]  # fmt: skip
    assert groups.of(5) is parts[1]
    groups.leave_out(parts[1], RoundVoid("too few"))
    assert parts[1].left_out == "group 1 was left out: too few"
    assert groups.going_on([8, 4, 0]) == [8, 0]
    assert [group.number for group, _ in groups.among([8, 4, 0])] == [0, 2]
    with pytest.raises(RoundVoid):
        groups.leave_out(parts[0], RoundVoid("too few"))


def test_an_uncut_cohort_is_one_group_that_ends_with_it():
    whole = Group(0, frozenset(range(3)), None)
    groups = Groups([whole], None)
    assert groups.among([2, 1]) == [(whole, [2, 1])]
    assert groups.going_on([2, 1]) == [2, 1]
    with pytest.raises(RoundVoid, match=r"^alone$"):
        groups.leave_out(whole, RoundVoid("alone"))


def opened(*means, **more) -> list:
    aggregates = [
        Aggregate({"delta": np.array(mean, float)}, 3, weight=w, loss=loss, clipped=1, capped=2, finer={"delta": i})
        for i, (mean, w, loss) in enumerate(means)
    ]
    return [
        (OpenedSum(np.zeros(0), 3, [3 * i, 3 * i + 1], group=2 * i), replace(each, **more))
        for i, each in enumerate(aggregates)
    ]


def test_the_groups_means_become_one():
    defence = Defence(as_rule("median"), 3, 12)
    whole, choice, kept = defence.combine(
        opened(([1, 2], 10, 0.5), ([3, 3], 30, 0.1), ([100, -9], 20, 0.3)), 6, Beside()
    )
    assert whole.mean["delta"].tolist() == [3.0, 2.0]
    assert (whole.addends, whole.weight, whole.clipped, whole.capped) == (9, 60, 3, 6)
    assert whole.loss == pytest.approx((5 + 3 + 6) / 60)
    assert (whole.error_bound, whole.below, whole.finer, kept) == (math.inf, None, {"delta": 1.0}, {})
    assert (choice.rule, choice.f, choice.numbers, choice.left_out) == ("median", 1, [0, 2, 4], [1, 3, 5])
    assert choice.groups == [[0, 1], [3, 4], [6, 7]]
    assert choice.norms == pytest.approx([math.hypot(1, 2), math.hypot(3, 3), math.hypot(100, 9)])
    assert (choice.chosen, choice.scores) == (None, None)
    still = opened(([1, 2], 0, 0.5), ([3, 3], 30, 0.1), clipped=0, capped=0)
    whole, _, _ = Defence(as_rule("normclip:bound=9"), 3, 12).combine(still, 4, Beside())
    assert (whole.weight, whole.clipped, whole.capped, whole.loss) == (30, 0, 0, 0.1)
    noisy = opened(
        ([1, 2], None, None), ([3, 3], None, None), weight=None, loss=None, clipped=None, below=0.5, finer={}
    )
    whole, _, kept = Defence(as_rule("centred"), 3, 12).combine(noisy, 2, Beside())
    assert (whole.weight, whole.loss, whole.clipped, whole.capped, whole.below) == (None, None, None, None, 0.5)
    assert kept.keys() == {KEPT}
    alone, choice, _ = Defence(as_rule("normclip:bound=9"), 3, 12).combine(opened(([3, 4], 10, 0.5)), 4, Beside())
    assert (alone.mean["delta"].tolist(), alone.finer, choice.left_out) == ([3.0, 4.0], {"delta": 0.0}, [1, 2, 3])
    with pytest.raises(RoundVoid, match="does not stand f=2 of 2 vectors"):
        Defence(as_rule("trimmed:f=2"), 3, 15).combine(opened(([1, 2], 1, 0), ([1, 2], 1, 0)), 5, Beside())


@pytest.mark.parametrize(("rule", "size", "cohort", "text"), [
    ("median", 3, 5, "a cohort of 5 clients cuts into one group of 3: there is nothing to compare; "
     "sample at least 6 clients, or lower group_size"),
    ("median", 1, 65537, "a cohort of 65537 cuts into 65,537 groups, at most 65,536: cut fewer"),
    ("trimmed:f=2", 3, 14, "14 clients in groups of 3: trimmed:f=2 does not stand f=2 of 4 vectors: "
     "it takes 5 or more, or lower f to 1"),
    ("median", 3, 8, "8 clients in groups of 3: median stands no malicious group of 2: it takes 3 or more: sample at "
     "least 9 clients, lower group_size, or take another rule"),
    ("median", 1, 2, "2 clients in groups of 1: median stands no malicious group of 2: it takes 3 or more: sample at "
     "least 3 clients, or take another rule"),
])  # fmt: skip
def test_cohorts_that_cannot_be_cut(rule, size, cohort, text):
    with pytest.raises(BadInput) as refused:
        Defence(as_rule(rule), size, cohort)
    assert str(refused.value) == text


def test_cohorts_that_can_be_cut():
    assert str(Defence(as_rule("median"), 3, 9)) == "median over 3 groups of 3 clients stands f=1 malicious"
    assert str(Defence(as_rule("median"), 1, 65536)).startswith("median over 65,536 groups of 1 client stands f=32767")
    assert Defence(as_rule("trimmed:f=0"), 3, 6).f == 0
    assert [Defence(as_rule(spec), 1, 20).least for spec in ("median", "trimmed:f=2", "krum:f=1")] == [2, 5, 5]
    assert groups_in(None, 3, 30, Masks(toy_codec())) == 1
    assert groups_in(as_rule("median"), 4, 30, Masks(toy_codec())) == 7
    assert groups_in(as_rule("median"), None, 30, Masks(toy_codec())) == 10
    assert groups_in(as_rule("median"), None, 30, Plain(toy_codec())) == 30
    assert groups_in(as_rule("median"), 40, 30, Plain(toy_codec())) == 1
