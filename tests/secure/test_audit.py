"""The audit of opened cohorts: no combination of sums is of fewer clients than may be."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations

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
    """True where some combination of the sums is of fewer clients: all places where it may be nonzero are tried."""
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


def test_two_cohorts_that_cancel_with_unlike_factors_are_found():
    """(0, 1, 3) and (0, 1, 2) differ by two clients; reduced by the others, no factor of 1 or -1 cancels their rows."""
    audit, opened = CohortAudit(3), [(0, 1, 3), (1, 2, 3, 4, 5), (0, 2, 3, 4)]
    for cohort in opened:
        audit.enter(cohort)
    assert tells([*map(frozenset, opened), frozenset((0, 1, 2))], 3)
    with pytest.raises(OpeningRefused, match="fewer than 3 clients"):
        audit.enter((0, 1, 2))


def test_the_factor_counts_that_cancels_most_columns():
    """The first two less the third are clients 4 and 5 and twice client 3."""
    audit = CohortAudit(4)
    audit.enter([1, 2, 3, 5])
    audit.enter([0, 3, 4, 6])
    with pytest.raises(OpeningRefused, match="fewer than 4 clients"):
        audit.enter([0, 1, 2, 6])


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


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_three_cohorts_that_nearly_cancel_are_not_all_opened(order):
    """1 + U and 2 + V less 3 + U + V leaves three clients, while any two of them leave at least six."""
    u, v = {4, 5, 6, 7}, {8, 9, 10, 11}
    cohorts = [cohort for _, cohort in sorted(zip(order, [{1} | u, {2} | v, {3} | u | v], strict=True))]
    audit = CohortAudit(4)
    audit.enter(cohorts[0])
    audit.enter(cohorts[1])
    with pytest.raises(OpeningRefused, match="fewer than 4 clients"):
        audit.enter(cohorts[2])
    enough = CohortAudit(3)
    for cohort in cohorts:
        enough.enter(cohort)


@pytest.mark.parametrize(
    ("least", "cohorts"),
    [
        (4, [[0, 3, 4, 6, 7, 9], [0, 1, 3, 5, 7, 10], [0, 2, 4, 7, 11], [1, 3, 4, 5, 12], [0, 3, 7, 13]]),
        (5, [[4, 6, 8, 9, 10], [0, 1, 2, 4, 7, 11], [1, 2, 3, 5, 6, 7, 12], [0, 3, 4, 5, 6, 8, 9, 13]]),
    ],
)
def test_cohorts_of_which_three_nearly_cancel_but_not_enough_are_all_opened(least, cohorts):
    assert not tells([frozenset(cohort) for cohort in cohorts], least)
    audit = CohortAudit(least)
    for cohort in cohorts:
        audit.enter(cohort)


@pytest.mark.parametrize(
    ("least", "cohorts", "trials"),
    [
        (4, [[2, 3, 4, 5, 6, 7], [1, 2, 5, 7], [0, 5, 6, 7], [0, 1, 4, 7]], 4),
        (5, [[1, 2, 5, 6, 11], [4, 6, 7, 9, 10], [1, 3, 4, 7, 11], [1, 3, 5, 9, 10]], 24),
    ],
)
def test_one_of_many_combinations_of_three_is_enough(least, cohorts, trials, monkeypatch):
    """Each of so many is tried, three cohorts of four and with 5 each client that may stay; with fewer trials none."""

    def opened(most: int) -> CohortAudit:
        monkeypatch.setattr("fedlearn.secure.audit.MOST_TRIALS", most)
        audit = CohortAudit(least)
        for cohort in cohorts[:-1]:
            audit.enter(cohort)
        return audit

    with pytest.raises(OpeningRefused, match=f"would tell the sum of fewer than {least} clients"):
        opened(trials).enter(cohorts[-1])
    with pytest.raises(OpeningRefused, match=f"4 cohorts .* cannot be audited for combinations of under {least}"):
        opened(trials - 1).enter(cohorts[-1])


@pytest.mark.parametrize(("drawn", "prime"), [(lambda below: 0, 1_073_741_827), (lambda below: below - 1, 2**31 + 11)])
def test_rows_are_reduced_modulo_a_prime_of_31_bits(drawn, prime, monkeypatch):
    """Too many of them to be guessed, and their products fit 64 bits."""
    monkeypatch.setattr("secrets.randbelow", drawn)
    assert CohortAudit(3)._prime == prime


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_the_rank_of_rows_is_how_many_of_them_make_the_others(rank):
    audit, rng = CohortAudit(3), np.random.default_rng(rank)
    for _ in range(5):
        basis = np.concatenate([np.eye(rank), rng.integers(0, 99, (rank, 3))], axis=1).astype(np.int64)
        rows = rng.integers(1, audit._prime, (4, rank)).astype(object) @ basis % audit._prime
        assert audit._rank(rows[:, rng.permutation(rank + 3)].astype(np.int64)) == rank
    assert audit._rank(np.zeros((4, 3), np.int64)) == 0
