"""The audit of opened cohorts: no combination of sums is of fewer clients than may be."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn.errors import OpeningRefused
from fedlearn.secure.audit import CohortAudit

FANO = [(0, 1, 2), (0, 3, 4), (0, 5, 6), (1, 3, 5), (1, 4, 6), (2, 3, 6), (2, 4, 5)]


def rank(rows: list[list[int]]) -> int:
    """By fractions, exactly."""
    table = [[Fraction(value) for value in row] for row in rows]
    done = 0
    for column in range(len(table[0]) if table else 0):
        pivot = next((i for i in range(done, len(table)) if table[i][column]), None)
        if pivot is None:
            continue
        table[done], table[pivot] = table[pivot], table[done]
        for i in range(done + 1, len(table)):
            factor = table[i][column] / table[done][column]
            table[i] = [a - factor * b for a, b in zip(table[i], table[done], strict=True)]
        done += 1
    return done


def tells(cohorts: list[frozenset[int]], least: int) -> bool:
    """Whether some combination of the sums is of fewer clients: by trying which columns it may be nonzero at."""
    clients = sorted(set().union(*cohorts))
    rows = [[int(client in cohort) for client in clients] for cohort in cohorts]
    full = rank(rows)
    few = min(least - 1, len(clients))
    return any(
        rank([[value for i, value in enumerate(row) if i not in kept] for row in rows]) < full
        for kept in combinations(range(len(clients)), few)
    )


cohort_lists = st.lists(st.frozensets(st.integers(0, 6), min_size=3, max_size=7), min_size=1, max_size=5)


@settings(deadline=None, max_examples=300)
@given(cohort_lists, st.integers(2, 4))
def test_it_refuses_exactly_what_tells_too_much(cohorts, least):
    audit, opened = CohortAudit(least), []
    for cohort in cohorts:
        if len(cohort) < least:
            continue
        if tells([*opened, cohort], least):
            with pytest.raises(OpeningRefused, match=f"fewer than {least} clients"):
                audit.enter(cohort)
            with pytest.raises(OpeningRefused):  # what was refused did not enter
                audit.enter(cohort)
        else:
            audit.enter(cohort)
            opened.append(cohort)


def test_seven_cohorts_that_share_one_client_each_do_not_all_open():
    audit, opened = CohortAudit(3), 0
    for line in FANO:
        try:
            audit.enter(line)
            opened += 1
        except OpeningRefused:
            continue
    assert opened < 7
    assert not tells([frozenset(line) for line in FANO[:opened]], 3)


def test_the_same_cohort_again_tells_nothing_new():
    audit = CohortAudit(3)
    for _ in range(5):
        audit.enter(range(10))
    with pytest.raises(OpeningRefused):
        audit.enter(range(9))
    audit.enter(range(20, 30))


def test_what_would_take_too_long_is_refused():
    audit, rng = CohortAudit(8), np.random.default_rng(0)

    def open_many() -> None:
        for _ in range(60):
            audit.enter(rng.choice(400, 40, replace=False).tolist())

    with pytest.raises(OpeningRefused, match="cannot be audited for combinations of under 8 clients"):
        open_many()


def test_random_cohorts_of_a_large_population_may_be_opened():
    audit, rng = CohortAudit(3), np.random.default_rng(0)
    for _ in range(40):
        audit.enter(rng.choice(1000, 100, replace=False).tolist())
