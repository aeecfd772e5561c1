"""Every partition of the registry with labels, users, numbers of clients and arguments that nobody expects.

Each deals every example to one client, the same whatever the layout in memory, or raises a typed error.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import numpy as np
import pytest

from fedlearn.datasets import PARTITIONS
from fedlearn.datasets.partitions import numbered
from fedlearn.errors import BadInput
from fedlearn.spec import keys_of
from tests.hostile.inputs import FLOATING, LAYOUTS, NUMBERS, ODD_ARGUMENTS, in_one_line

pytestmark = pytest.mark.filterwarnings("error")

LABELS = np.array([0, 2, 1, 1, 0, 2, 0, 1, 2, 0, 1, 1])
USERS = [f"user-{i % 5}" for i in range(len(LABELS))]
CLIENTS = 3


def ordinary(name: str) -> Any:
    """A partition made of the values that its keys show as examples."""
    kind = PARTITIONS.load(name)
    return kind(**{key: float(shown.shown()) if shown.annotation is float else int(shown.shown())
                   for key, shown in keys_of(kind).items()})  # fmt: skip


def deal(
    partition: Any, labels: Any = LABELS, users: Any = USERS, clients: Any = CLIENTS
) -> list[list[int]] | BadInput:
    try:
        parts = partition.split(labels, users, clients, np.random.default_rng(3))
    except BadInput as error:
        return in_one_line(error)
    dealt = np.sort(np.concatenate(parts))
    assert np.array_equal(dealt, np.arange(len(labels))), "an example was lost or dealt twice"
    assert clients is None or len(parts) == clients
    assert all(part.dtype == np.int64 and len(part) for part in parts)
    return [part.tolist() for part in parts]


each = pytest.mark.parametrize("name", PARTITIONS.entries)


@each
def test_the_layout_in_memory_changes_nothing(name):
    expected = deal(ordinary(name))
    assert isinstance(expected, list)
    for kind, change in LAYOUTS.items():
        assert deal(ordinary(name), change(LABELS)) == expected, kind
        assert deal(ordinary(name), LABELS, np.array(USERS)) == deal(ordinary(name), LABELS, tuple(USERS)) == expected


@each
def test_odd_labels_are_dealt_or_refused(name):
    for kind, change in NUMBERS.items():
        for labels in [LABELS] if kind not in FLOATING else [LABELS.astype(float)]:
            deal(ordinary(name), change(labels), USERS[: len(np.atleast_1d(change(labels)))])
    for odd in ODD_ARGUMENTS:
        got = deal(ordinary(name), odd, USERS[:7])
        assert isinstance(got, list) == (isinstance(odd, tuple)), odd
    assert isinstance(deal(ordinary(name), np.array(["ham", "spam", "other"])[LABELS]), list)


@each
def test_odd_users_are_dealt_or_refused(name):
    for odd in [*ODD_ARGUMENTS, USERS[:-1], [*USERS, "one more"], [None] * 12, [None, *USERS[1:]], [[1]] * 12]:
        deal(ordinary(name), LABELS, odd)
    assert isinstance(deal(PARTITIONS.load("natural")(), LABELS, USERS[:-1]), BadInput)
    assert isinstance(deal(PARTITIONS.load("natural")(), LABELS, "abcdefghijkl"), BadInput)


@each
def test_odd_numbers_of_clients_are_refused(name):
    for odd in ODD_ARGUMENTS:
        if odd is not None:
            assert isinstance(deal(ordinary(name), LABELS, USERS, odd), BadInput), odd
    assert deal(ordinary(name), LABELS, USERS, np.int32(CLIENTS)) == deal(ordinary(name))


@each
def test_odd_arguments_make_a_partition_or_are_refused(name):
    kind = PARTITIONS.load(name)
    for field in fields(kind):
        for odd in [*ODD_ARGUMENTS, np.float32(2), np.int64(2), np.nan]:
            try:
                made = kind(**{f.name: 1 for f in fields(kind) if f.default is MISSING} | {field.name: odd})
            except BadInput:
                continue
            deal(made)


def test_a_name_costs_what_it_weighs_and_is_taken_whole():
    names = ["a", "b" * 1_000_000, "a\0", *(f"user-{i}" for i in range(2000))]  # as fixed-width text: 8 GB
    assert numbered(names).tolist()[:3] == [0, 2, 1]
    assert [len(part) for part in PARTITIONS.load("natural")().split(np.zeros(2003), names, None, None)] == [1] * 2003
