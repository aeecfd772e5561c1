"""Robust rules: what papers say of small examples, what every rule promises, and what is refused."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from aggregator.robust import RULES, Beside, Combined, Rule, as_rule
from aggregator.robust.base import Before, Malicious
from aggregator.robust.points import BLOCK
from fedlearn.errors import BadInput
from fedlearn.testing import check_rule

RULE_NAMES = [name for name in RULES.entries if issubclass(RULES.load(name), Rule)]
BEFORE = [name for name in RULES.entries if issubclass(RULES.load(name), Before)]
CHAINS = ["arc+nnm+multikrum", "bucketing:size=2+krum"]
EVERY = [*RULE_NAMES, *(f"{name}+trimmed" for name in BEFORE), *CHAINS]


def honest(n: int, d: int = 6, seed: int = 0) -> np.ndarray:
    """Updates that agree on a direction, float32 (n, d)."""
    return (np.ones(d) + np.random.default_rng(seed).normal(0, 0.3, (n, d))).astype(np.float32)


def beside(d: int = 6) -> Beside:
    return Beside(trusted=np.ones(d, np.float32))


# Known answers

LINE = np.array([[0.0], [1.0], [2.0], [4.0], [100.0]], np.float32)


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ("median", 2.0),
        ("trimmed:f=1", 7 / 3),  # 1, 2, 4
        ("trimmed:f=2", 2.0),
        ("meamed:f=1", 7 / 4),  # 0, 1, 2, 4 are nearest to 2
        ("krum:f=1", 1.0),  # sums of 2 squares: 0 has 1+4, 1 has 1+1, 2 has 1+4, 4 has 4+9
        ("krum:f=1,neighbours=n-f-1", 2.0),  # sums of 3: 0 has 21, 1 has 11, 2 has 9
        ("multikrum:f=1", 7 / 4),
        ("normclip:bound=4", 11 / 5),
        ("normclip", 7 / 5),  # the median of the norms is 2
        ("centred:steps=1,radius=4", 11 / 5),
        ("fltrust", 1.0),  # all but 0, which has no direction, brought to the trusted length
        ("arc:f=1+trimmed:f=1", 7 / 3),  # 2 * 1/5 * 4 = 1.6: the longest becomes 4: 0 1 2 4 4
        ("nnm+trimmed:f=1", 7 / 4),  # 0, 1, 2, 4 become their mean, and so does the trimmed mean
    ],
)
def test_known_answers(rule, answer):
    found = as_rule(rule)(LINE, Beside(trusted=np.ones(1, np.float32)))
    assert found.vector == pytest.approx([answer], rel=1e-6)
    assert found.vector.dtype == np.float32


def test_meamed_keeps_the_nearest_whatever_ties_lie_farther():
    """Round the median, 1.5, lie 1, 2, 3 and one of the two at -4, for 9 is farther than these."""
    vectors = np.array([[-4], [-4], [1], [2], [3], [9]], np.float32)
    assert as_rule("meamed:f=2")(vectors).vector == pytest.approx([0.5])


def test_the_geometric_median_of_a_triangle_is_where_its_corners_stand_120_degrees_apart():
    """Fermat's point of an equilateral triangle is its centre; of corners of which one angle is wide, that corner."""
    corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]], np.float32)
    assert as_rule("geomed")(corners).vector == pytest.approx([0.5, np.sqrt(3) / 6], abs=1e-6)
    wide = np.array([[-10, 1], [0, 0], [10, 1]], np.float32)
    assert as_rule("geomed:steps=5000")(wide).vector == pytest.approx([0, 0], abs=1e-3)


def krum_by_the_paper(vectors: np.ndarray, f: int) -> int:
    """argmin over i of the sum, over the n - f - 2 vectors nearest to i, of squared distances."""
    n = len(vectors)
    scores = []
    for i in range(n):
        squares = sorted(float(((vectors[i] - vectors[j]) ** 2).sum()) for j in range(n) if j != i)
        scores.append(sum(squares[: max(1, n - f - 2)]))
    return int(np.argmin(scores))


@pytest.mark.parametrize("seed", range(5))
def test_krum_and_bulyan_are_what_their_papers_say(seed):
    vectors, f = honest(11, seed=seed), 2
    vectors[:f] *= -3
    assert np.array_equal(as_rule(f"krum:f={f}")(vectors).vector, vectors[krum_by_the_paper(vectors, f)])

    left, chosen = list(range(11)), []
    while len(chosen) < 11 - 2 * f:
        chosen.append(left.pop(krum_by_the_paper(vectors[left], f)))
    kept = vectors[chosen].astype(np.float64)
    median = np.median(kept, axis=0)
    nearest = np.argsort(np.abs(kept - median), axis=0)[: 11 - 4 * f]
    found = as_rule(f"bulyan:f={f}")(vectors)
    assert found.chosen.tolist() == sorted(chosen)
    assert found.vector == pytest.approx(np.take_along_axis(kept, nearest, axis=0).mean(axis=0), rel=1e-6)


def test_centred_clipping_goes_on_from_the_round_before():
    near = np.full(1, 90, np.float32)
    assert as_rule("centred:steps=1,radius=1")(LINE, Beside(previous=near)).vector == pytest.approx([90 - 3 / 5])


def test_buckets_are_means_of_as_many_as_they_say():
    """Of 5 vectors in buckets of 2 the median is one of three means; which, the generator decides."""
    pairs = [np.mean(pair) for pair in combinations(LINE[:, 0], 2)]
    drawn = {
        float(as_rule("bucketing+median")(LINE, Beside(np.random.default_rng(seed))).vector[0]) for seed in range(20)
    }
    assert len(drawn) > 1
    assert all(any(value == pytest.approx(mean) for mean in (*pairs, *LINE[:, 0])) for value in drawn)


# What every rule promises


@pytest.mark.parametrize("spec", [*CHAINS, "trimmed:f=3", "krum:f=2", "bulyan:f=2", "nnm+trimmed:f=3"])
def test_chains_and_rules_for_one_f_keep_the_promises_of_a_rule(spec):
    check_rule(as_rule(spec))


@pytest.mark.parametrize("spec", EVERY)
def test_as_many_as_it_stands_move_it_no_further_than_honest_ones_lie(spec):
    vectors, rule = honest(23), as_rule(spec)
    f = min(rule.most(23), 4)
    vectors[:f] = -1000.0
    found = rule(vectors, beside())
    assert np.abs(vectors.mean(axis=0) - 1).min() > 100
    assert np.abs(found.vector - 1).max() < 1.2
    if found.chosen is not None and f and rule.f is None:
        assert not set(found.chosen) & set(range(f))


@pytest.mark.parametrize("spec", [spec for spec in EVERY if "bucketing" not in spec])
def test_the_order_of_vectors_does_not_matter(spec):
    vectors = honest(12, d=40)
    vectors[:2] *= -1
    order = np.random.default_rng(3).permutation(12)
    found, again = as_rule(spec)(vectors, beside(40)), as_rule(spec)(vectors[order], beside(40))
    assert again.vector == pytest.approx(found.vector, rel=1e-5)
    if found.chosen is not None:
        assert sorted(order[again.chosen]) == found.chosen.tolist()


@pytest.mark.parametrize("spec", EVERY)
def test_the_same_bits_again_and_whatever_the_threads(spec):
    from threadpoolctl import threadpool_limits

    vectors = honest(15, d=2 * BLOCK // 15 + 7)
    first = as_rule(spec)(vectors, beside(vectors.shape[1]))
    with threadpool_limits(2):
        second = as_rule(spec)(np.asfortranarray(vectors), beside(vectors.shape[1]))
    assert first.vector.tobytes() == second.vector.tobytes()
    assert isinstance(first, Combined)


# Refusals


@pytest.mark.parametrize(
    ("spec", "n", "needed"),
    [
        ("trimmed:f=3", 6, "7 or more, or lower f to 2"),
        ("krum:f=3", 8, "9 or more, or lower f to 2"),
        ("krum:f=3,neighbours=n-f-1", 6, "7 or more, or lower f to 2"),
        ("bulyan:f=2", 10, "11 or more, or lower f to 1"),
        ("bulyan", 2, "3 or more"),
        ("nnm+trimmed:f=5", 10, "11 or more, or lower f to 4"),
        ("bucketing:size=3+trimmed:f=3", 18, "19 or more, or lower f to 2"),
    ],
)
def test_too_many_malicious_for_so_few_vectors(spec, n, needed):
    with pytest.raises(BadInput, match=needed):
        as_rule(spec)(honest(n))


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("nothing", "unknown robust rule 'nothing'"),
        ("", "unknown robust rule"),
        ("nnm", "write one after it, as in nnm\\+trimmed"),
        ("trimmed+nnm", "trimmed is a rule, after which"),
        ("median+trimmed", "median is a rule"),
        ("trimmed:f=-1", "trimmed f is -1"),
        ("krum:f=100000000", "krum f is 100000000"),
        ("trimmed:f=two", "f is 'two'"),
        ("trimmed:g=2", "no 'g'"),
        ("median:f=2", "takes no argument"),
        ("fltrust:data=1", "fltrust takes no argument"),
        ("nnm:f=2+trimmed:f=3", "several f, 2, 3"),
        ("krum:neighbours=all", "one of n-f-2, n-f-1"),
        ("geomed:steps=0", "steps is 0"),
        ("centred:radius=-1", "radius is -1"),
        ("normclip:bound=0", "bound is 0"),
        ("bucketing:size=0+median", "size is 0"),
        (3, "give a rule, or its name"),
    ],
)
def test_what_is_no_rule(spec, reason):
    with pytest.raises(BadInput, match=reason):
        as_rule(spec)


@pytest.mark.parametrize(("spec", "least"), [("krum:f=2000000", 4000003), ("bucketing:size=2+trimmed:f=9", 37)])
def test_how_many_it_takes_is_said_of_any_f(spec, least):
    rule = as_rule(spec)
    with pytest.raises(BadInput, match=f"it takes {least} or more"):
        rule.malicious(10)
    assert rule.most(least - 1) < rule.f <= rule.most(least)


@pytest.mark.parametrize(
    "vectors", [np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(3), np.array([[1.0], [np.nan], [2.0]])]
)
def test_what_is_no_matrix_of_numbers(vectors):
    with pytest.raises(BadInput, match=r"matrix|NaN"):
        as_rule("median")(vectors)


def test_fltrust_stands_all_but_one_and_needs_an_update_of_its_own():
    assert as_rule("fltrust").most(10) == 9
    with pytest.raises(BadInput, match="give it data"):
        as_rule("fltrust")(LINE)
    with pytest.raises(BadInput, match=r"trusted vector is \(2,\)"):
        as_rule("fltrust")(LINE, Beside(trusted=np.ones(2, np.float32)))


@pytest.mark.parametrize("spec", [*EVERY, "nnm+trimmed:f=3", "bucketing:size=3+multikrum:f=2,neighbours=n-f-1"])
def test_a_rule_is_written_as_it_is_read(spec):
    assert as_rule(str(as_rule(spec))) == as_rule(spec)
    assert isinstance(as_rule(spec), Malicious)
