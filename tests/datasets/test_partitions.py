from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.datasets import PARTITIONS, load_corpus, load_samples
from fedlearn.datasets.partitions import IID, Dirichlet, Natural, Shards
from fedlearn.errors import BadInput

SPECS = [
    "iid",
    "dirichlet:0.01",
    "dirichlet:1",
    "dirichlet:1e5",
    "dirichlet:1e-6",
    "shards:1",
    "shards:3",
    "natural",
]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.sampled_from(SPECS), st.integers(1, 300), st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**32))
def test_every_example_goes_to_one_client_and_no_client_is_empty(spec, examples, clients, classes, seed):
    labels = rng(seed).integers(0, classes, examples)
    users = [f"user {i}" for i in rng(seed + 1).integers(0, 12, examples)]
    limit = len(set(users)) if spec == "natural" else examples // (3 if spec == "shards:3" else 1)
    if limit == 0:
        return
    clients = min(clients, limit)
    parts = PARTITIONS.parse(spec).split(labels, users, clients, rng(seed))
    assert len(parts) == clients
    assert all(part.dtype == np.int64 and len(part) for part in parts)
    assert all(np.all(np.diff(part) > 0) for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(examples))


@given(st.sampled_from([s for s in SPECS if s != "natural"]), st.integers(0, 2**32))
def test_the_seed_alone_decides(spec, seed):
    labels = rng(1).integers(0, 3, 60)
    first, again, other = (PARTITIONS.parse(spec).split(labels, None, 5, rng(s)) for s in (seed, seed, seed + 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@given(st.sampled_from(["iid", "dirichlet:0.1", "dirichlet:100"]), st.integers(1, 500), st.integers(1, 20))
def test_sizes_differ_by_at_most_one(spec, examples, clients):
    clients = min(clients, examples)
    sizes = [len(p) for p in PARTITIONS.parse(spec).split(np.arange(examples) % 3, None, clients, rng())]
    assert max(sizes) - min(sizes) <= 1


def shares(spec: str) -> np.ndarray:
    """Share of class 1 of each of 40 clients of 100 examples, 30 % of which are of class 1."""
    labels = (rng(5).random(4000) < 0.3).astype(np.int8)
    return np.array([labels[part].mean() for part in PARTITIONS.parse(spec).split(labels, None, 40, rng(6))])


def test_dirichlet_class_shares_spread_as_alpha_says():
    for alpha in (1.0, 10.0):
        # Beta(alpha p, alpha (1 - p)) has variance p (1 - p) / (alpha + 1); the last clients get what is left.
        expected = np.sqrt(0.3 * 0.7 / (alpha + 1))
        assert shares(f"dirichlet:{alpha}").std() == pytest.approx(expected, rel=0.35)
    assert shares("dirichlet:0.001").std() > 0.40
    assert shares("dirichlet:100000").std() < 0.08
    assert shares("iid").std() < 0.08


def test_shards_hold_few_classes():
    labels = np.repeat(np.arange(10), 60)
    parts = PARTITIONS.parse("shards:2").split(rng().permutation(labels), None, 30, rng())
    assert {len(part) for part in parts} == {20}
    for shards in (1, 2):
        drawn = PARTITIONS.parse(f"shards:{shards}").split(labels, None, 30, rng())
        assert max(len(set(labels[part])) for part in drawn) == shards


def test_natural_clients_are_the_users():
    users = ["sue", "bob", "alice", "bob", "sue", "bob"]
    parts = PARTITIONS.parse("natural").split(np.zeros(6), users, None, rng())
    assert [part.tolist() for part in parts] == [[2], [1, 3, 5], [0, 4]]


def test_fewer_clients_share_whole_users_largest_first():
    users = [name for name, size in {"a": 1, "b": 3, "c": 3, "d": 4, "e": 5}.items() for _ in range(size)]
    parts = PARTITIONS.parse("natural").split(np.zeros(16), users, 2, rng())
    assert [Counter(users[i] for i in part) for part in parts] == [{"e": 5, "c": 3}, {"d": 4, "b": 3, "a": 1}]


@pytest.mark.parametrize("spec", ["iid", "dirichlet:1", "shards:1"])
def test_examples_of_one_class_are_dealt_at_random(spec):
    parts = PARTITIONS.parse(spec).split(np.zeros(200), None, 2, rng())
    assert all(np.count_nonzero(np.diff(part) > 1) > 20 for part in parts)


@pytest.mark.parametrize("spec", ["dirichlet:0", "dirichlet:-1", "dirichlet:inf", "dirichlet:1e7", "dirichlet:1e-7"])
def test_an_alpha_beyond_the_limits_is_refused(spec):
    with pytest.raises(BadInput, match=r"dirichlet with alpha .*: give a number from 1e-06 to 1000000"):
        PARTITIONS.parse(spec)


@pytest.mark.parametrize("spec", ["shards:0", "shards:-2"])
def test_a_bad_number_of_shards_is_refused(spec):
    with pytest.raises(BadInput, match="shards per client"):
        PARTITIONS.parse(spec)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("dirichlet", "partition dirichlet needs alpha: write dirichlet:alpha=0.5"),
        ("dirichlet:", "has no value in ''"),
        ("dirichlet:x", "alpha is 'x', a number is needed"),
        ("dirichlet:nan", "alpha is 'nan', a number is needed"),
        ("shards", "partition shards needs per_client"),
        ("shards:1.5", "per_client is '1.5', a whole number is needed"),
    ],
)
def test_an_argument_that_cannot_be_read_says_what_is_needed(spec, says):
    with pytest.raises(BadInput, match=says):
        PARTITIONS.parse(spec)


@pytest.mark.parametrize("spec", ["iid:3", "natural:", "fair"])
def test_an_argument_too_many_or_an_unknown_name_is_refused(spec):
    with pytest.raises(BadInput):
        PARTITIONS.parse(spec)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("clients", [0, -1, 11])
def test_a_number_of_clients_that_cannot_be_is_refused(spec, clients):
    with pytest.raises(BadInput, match=f"{clients} clients of 10"):
        PARTITIONS.parse(spec).split(np.arange(10) % 2, [f"user {i}" for i in range(10)], clients, rng())


def test_what_a_partition_needs_and_does_not_get_is_named():
    labels = np.zeros(10)
    with pytest.raises(BadInput, match="names no users: choose iid"):
        PARTITIONS.parse("natural").split(labels, None, 2, rng())
    with pytest.raises(BadInput, match="3 clients of 2 users"):
        PARTITIONS.parse("natural").split(labels, ["a", "b"] * 5, 3, rng())
    with pytest.raises(BadInput, match="needs the number of clients"):
        PARTITIONS.parse("iid").split(labels, None, None, rng())
    with pytest.raises(BadInput, match="4 clients of 3 shards would need 12 examples of 10"):
        PARTITIONS.parse("shards:3").split(labels, None, 4, rng())


def test_the_sample_by_user():
    sample = load_corpus("sample")
    parts = PARTITIONS.parse("natural").split(sample.labels, sample.users, None, rng())
    assert [len(part) for part in parts] == [580, 620, 440, 320, 540, 500]


def peak(work):
    """The most memory that `work` takes at once, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("partition", [IID(), Dirichlet(0.5), Shards(2), Natural()])
def test_a_name_of_any_length_costs_what_it_weighs(partition):
    names = [f"n{i % 7}" for i in range(999)] + ["x" * 20_000]
    as_given, short = ([name[:most] for name in names] for most in (None, 3))
    assert peak(lambda: partition.split(as_given, as_given, 5, np.random.default_rng(0))) < 2**20
    for labels in (short, np.array(short)):
        parts = partition.split(labels, short, 5, np.random.default_rng(0))
        for part, same in zip(parts, partition.split(as_given, as_given, 5, np.random.default_rng(0)), strict=True):
            np.testing.assert_array_equal(part, same)


def test_a_file_costs_what_it_weighs(tmp_path):
    (tmp_path / "mail.csv").write_text("label,text,user\n" + "ham,hi,ann\nspam,buy,bob\n" * 50)
    assert peak(lambda: load_corpus(tmp_path / "mail.csv")) < 2**24
    rows = [f"{i},{name}" for i, name in enumerate(["a", "b"] * 500 + ["x" * 20_000])]
    (tmp_path / "rows.csv").write_text("\n".join(["size,label", *rows]))
    assert peak(lambda: load_samples(tmp_path / "rows.csv")) < 2**23
