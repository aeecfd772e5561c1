"""Every robust rule of the registry with updates and arguments that nobody expects.

A rule gives a finite vector that does not depend on the layout in memory, or raises a typed error; none warns.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from aggregator.robust import RULES, Beside, Rule, as_rule
from aggregator.robust.base import Before
from fedlearn.errors import BadInput
from tests.hostile.inputs import LAYOUTS, NO_NUMBERS, NUMBERS, ODD_ARGUMENTS, attempt

pytestmark = pytest.mark.filterwarnings("error")

UPDATES = (np.ones(4) + np.random.default_rng(0).normal(0, 0.3, (9, 4))).astype(np.float32)
NAMES = [name if issubclass(RULES.load(name), Rule) else f"{name}+median" for name in RULES.entries]
each = pytest.mark.parametrize("name", NAMES)


def beside() -> Beside:
    return Beside(np.random.default_rng(3), np.ones(4, np.float32), np.ones(4, np.float32))


@each
def test_the_layout_in_memory_changes_nothing(name):
    expected = as_rule(name)(UPDATES, beside()).vector
    for kind, change in LAYOUTS.items():
        got = attempt(as_rule(name), change(UPDATES), beside())
        assert not isinstance(got, BadInput), f"{kind}: {got}"
        np.testing.assert_array_equal(got.vector, expected, err_msg=kind)


@each
def test_odd_updates_have_a_finite_answer_or_are_refused(name):
    for kind, change in (NUMBERS | NO_NUMBERS).items():
        got = attempt(as_rule(name), change(UPDATES), beside())
        if kind in NO_NUMBERS or kind in ("nan", "inf", "-inf"):
            assert isinstance(got, BadInput), kind
        elif not isinstance(got, BadInput):
            assert np.isfinite(got.vector).all(), kind
            assert got.vector.shape == change(UPDATES).shape[1:], kind


@each
def test_odd_updates_of_the_aggregator_or_the_round_before_are_used_or_refused(name):
    for change in (LAYOUTS | NUMBERS | NO_NUMBERS).values():
        for own in ({"previous": change(np.ones(4))}, {"trusted": change(np.ones(4))}):
            given = {"previous": np.ones(4, np.float32), "trusted": np.ones(4, np.float32)} | own
            got = attempt(lambda given=given: as_rule(name)(UPDATES, Beside(np.random.default_rng(3), **given)))
            assert isinstance(got, BadInput) or np.isfinite(got.vector).all()


@pytest.mark.parametrize("name", RULES.entries)
def test_odd_arguments_make_a_rule_or_are_refused(name):
    kind = RULES.load(name)
    for field in fields(kind):
        for odd in [*ODD_ARGUMENTS, np.int64(2), np.float32(0.5), np.zeros(3), [None], ["word"]]:
            rule = attempt(kind, **{field.name: odd})
            if isinstance(rule, Before):
                rule = as_rule(f"{name}+median") if field.name == "f" and rule.f is None else None
            if isinstance(rule, Rule):
                got = attempt(rule, UPDATES, beside())
                assert isinstance(got, BadInput) or np.isfinite(got.vector).all(), odd


@pytest.mark.parametrize("odd", [*ODD_ARGUMENTS, "", "+", "median+", "nnm", "krum:f=", "krum:f=-1,f=2"])
def test_what_names_no_rule_is_refused(odd):
    assert isinstance(attempt(as_rule, odd), BadInput)
