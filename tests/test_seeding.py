"""Local shuffles: uniform, reproducible, and the same for a client whoever trains beside it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.seeding import LocalRandom, local_random, stream, uniforms

clients = st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True)


@given(st.integers(0, 2**40), st.integers(0, 10**6), clients, st.lists(st.integers(0, 70), min_size=1, max_size=3))
def test_a_client_draws_the_same_alone_and_among_others(seed, round, cohort, sizes):
    stacked, among = LocalRandom(seed, round, cohort), list(LocalRandom(seed, round, cohort))
    alone = [local_random(seed, round, client) for client in cohort]
    for n in sizes:
        table = stacked.permutation(n)
        assert table.shape == (len(cohort), n)
        assert table.dtype == np.int64
        for row, one, other in zip(table, among, alone, strict=True):
            assert sorted(row) == list(range(n))
            assert row.tolist() == one.permutation(n).tolist() == other.permutation(n).tolist()


def test_a_client_with_many_examples_draws_the_same_too():
    """Beyond the size up to which clients share a table."""
    table = LocalRandom(4, 1, [8, 3]).permutation(70_000)
    for row, one in zip(table, LocalRandom(4, 1, [8, 3]), strict=True):
        assert np.array_equal(row, one.permutation(70_000))
        assert np.array_equal(np.sort(row), np.arange(70_000))


def chi_square(counts: np.ndarray) -> float:
    """How many standard deviations the statistic of equally likely cells lies from its mean."""
    expected = counts.sum() / counts.size
    freedom = counts.size - 1
    return float(((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


def test_every_permutation_is_as_likely_as_every_other():
    seen = LocalRandom(1, 1, range(200_000)).permutation(4) @ np.array([64, 16, 4, 1])
    counts = np.array([np.count_nonzero(seen == np.dot(p, [64, 16, 4, 1])) for p in permutations(range(4))])
    assert counts.sum() == 200_000
    assert abs(chi_square(counts)) < 4


def test_every_position_is_as_likely_in_every_place():
    table = LocalRandom(2, 3, range(20_000)).permutation(50)
    for place in (0, 7, 49):
        assert abs(chi_square(np.bincount(table[:, place], minlength=50))) < 4


@given(st.integers(0, 2**40), st.integers(0, 10**6), clients, st.integers(1, 9))
def test_a_client_has_the_same_uniform_numbers_alone_and_among_others(seed, round, cohort, each):
    table = uniforms(seed, "faults", round, cohort, each)
    assert table.shape == (len(cohort), each)
    assert np.all((table >= 0) & (table < 1))
    for row, client in zip(table, cohort, strict=True):
        assert np.array_equal(row, uniforms(seed, "faults", round, [client], each)[0])


def test_uniform_numbers_are_uniform_and_those_of_rounds_and_purposes_unrelated():
    tables = [uniforms(1, purpose, round, range(40_000), 2) for purpose, round in (("faults", 1), ("faults", 2))]
    tables.append(uniforms(1, "scenario", 1, range(40_000), 2))
    columns = [(10 * column).astype(int) for table in tables for column in table.T]
    for i, one in enumerate(columns):
        for other in columns[:i]:
            assert abs(chi_square(np.bincount(10 * one + other, minlength=100))) < 4


def test_a_seed_means_the_same_in_every_release():
    assert local_random(7, 2, 5).permutation(8).tolist() == [3, 6, 2, 0, 7, 4, 5, 1]
    assert uniforms(7, "faults", 2, [5], 2).tolist() == [[0.8643735193189082, 0.4577986695744425]]


def test_permutations_of_clients_rounds_seeds_and_epochs_are_unrelated():
    """First elements of two that differ in one coordinate: every pair of values is as likely as every other."""
    who = range(40_000)
    base = LocalRandom(5, 1, who)
    first, next_epoch = base.permutation(10)[:, 0], base.permutation(10)[:, 0]
    others = [
        next_epoch,
        np.roll(first, 1),
        LocalRandom(5, 2, who).permutation(10)[:, 0],
        LocalRandom(6, 1, who).permutation(10)[:, 0],
    ]
    for other in others:
        assert abs(chi_square(np.bincount(10 * first + other, minlength=100))) < 4


def test_a_generator_is_there_for_whoever_needs_one():
    one = local_random(3, 2, 1)
    assert one.generator is one.generator
    assert one.generator.random() == stream(3, "local", 2, 1).random()
