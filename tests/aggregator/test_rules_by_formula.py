"""Each robust rule beside a few lines of NumPy that say what it is, over blocks of every width."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from aggregator.robust import as_rule, points
from aggregator.robust.base import Beside
from aggregator.robust.clipping import shrunk
from aggregator.robust.points import Points
from fedlearn.errors import BadInput, ShapeError


def distances(x: np.ndarray) -> np.ndarray:
    return ((x[:, None].astype(np.float64) - x[None]) ** 2).sum(axis=2)


def krum(x: np.ndarray, f: int, beyond: int = 2) -> np.ndarray:
    return np.sort(distances(x), axis=1)[:, 1 : len(x) - f - beyond + 1].sum(axis=1)


def around(x: np.ndarray, kept: int) -> np.ndarray:
    centre = np.median(x, axis=0)
    order = np.argsort(np.abs(x - centre), axis=0, kind="stable")[:kept]
    return np.take_along_axis(x, order, axis=0).mean(axis=0)


def bulyan(x: np.ndarray, f: int) -> np.ndarray:
    left, chosen = list(range(len(x))), []
    for _ in range(len(x) - 2 * f):
        kept = max(1, len(left) - f - 2)
        scores = np.sort(distances(x[left]), axis=1)[:, 1 : kept + 1].sum(axis=1)
        chosen.append(left.pop(int(scores.argmin())))
    return around(x[sorted(chosen)], len(x) - 4 * f)


def clipped(x: np.ndarray, bound: float) -> np.ndarray:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x * np.minimum(1, bound / norms)


def arc(x: np.ndarray, f: int) -> np.ndarray:
    longest = int(2 * f / len(x) * (len(x) - f) + 1e-9)
    return clipped(x, np.sort(np.linalg.norm(x, axis=1))[len(x) - longest - 1])


def nnm(x: np.ndarray, f: int) -> np.ndarray:
    return np.stack([x[np.argsort(row, kind="stable")[: len(x) - f]].mean(axis=0) for row in distances(x)])


def centred(x: np.ndarray, previous: np.ndarray, radius: float | None, steps: int) -> np.ndarray:
    centre = previous.astype(np.float64)
    for _ in range(steps):
        apart = x - centre
        lengths = np.linalg.norm(apart, axis=1)
        reach = np.median(lengths) if radius is None else radius
        centre = centre + (apart * np.minimum(1, reach / lengths)[:, None]).mean(axis=0)
    return centre


def fltrust(x: np.ndarray, own: np.ndarray) -> np.ndarray:
    norms, length = np.linalg.norm(x, axis=1), np.linalg.norm(own)
    trust = np.maximum(0, x @ own / norms / length)
    return (trust[:, None] * x / norms[:, None] * length).sum(axis=0) / trust.sum()


RULES = {
    "median": lambda x, prev, own: np.median(x, axis=0),
    "trimmed": lambda x, prev, own: np.sort(x, axis=0)[(len(x) - 1) // 2 : len(x) // 2 + 1].mean(axis=0),
    "trimmed:f=2": lambda x, prev, own: np.sort(x, axis=0)[2:-2].mean(axis=0),
    "meamed:f=3": lambda x, prev, own: around(x, len(x) - 3),
    "krum:f=2": lambda x, prev, own: x[krum(x, 2).argmin()],
    "krum:f=2,neighbours=n-f-1": lambda x, prev, own: x[krum(x, 2, 1).argmin()],
    "multikrum:f=2": lambda x, prev, own: x[np.argsort(krum(x, 2))[: len(x) - 2]].mean(axis=0),
    "bulyan:f=2": lambda x, prev, own: bulyan(x, 2),
    "normclip": lambda x, prev, own: clipped(x, np.median(np.linalg.norm(x, axis=1))).mean(axis=0),
    "normclip:bound=0.5": lambda x, prev, own: clipped(x, 0.5).mean(axis=0),
    "centred": lambda x, prev, own: centred(x, prev, None, 3),
    "centred:radius=0.5,steps=2": lambda x, prev, own: centred(x, prev, 0.5, 2),
    "fltrust": lambda x, prev, own: fltrust(x, own),
    "nnm+trimmed:f=2": lambda x, prev, own: np.sort(nnm(x, 2), axis=0)[2:-2].mean(axis=0),
    "arc+trimmed:f=2": lambda x, prev, own: np.sort(arc(x, 2), axis=0)[2:-2].mean(axis=0),
}


@pytest.mark.parametrize("block", [64, points.BLOCK])
@pytest.mark.parametrize("n", [12, 19, 33])
@pytest.mark.parametrize("spec", RULES)
def test_a_rule_is_its_formula(spec, n, block, monkeypatch):
    monkeypatch.setattr(points, "BLOCK", block)
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, 40)).astype(np.float32) + 0.3
    x[:2] *= 7
    previous, own = (rng.normal(size=40).astype(np.float32) * 0.1 + 0.2 for _ in range(2))
    beside = Beside(previous=previous, trusted=own)
    found = as_rule(spec)(x, beside)
    np.testing.assert_allclose(found.vector, RULES[spec](x, previous, own), rtol=2e-5, atol=2e-6)
    assert found.vector.dtype == np.float32


def test_scores_and_choices_are_what_a_rule_compared():
    x = np.random.default_rng(1).normal(size=(11, 30)).astype(np.float32)
    own = x[0] + x[1]
    norms = np.linalg.norm(x, axis=1)
    assert as_rule("multikrum:f=3")(x).chosen.tolist() == sorted(np.argsort(krum(x, 3))[:8].tolist())
    np.testing.assert_allclose(as_rule("krum:f=3")(x).scores, krum(x, 3), rtol=1e-5)
    np.testing.assert_allclose(as_rule("normclip")(x).scores, norms, rtol=1e-6)
    trust = as_rule("fltrust")(x, Beside(trusted=own))
    cosines = x @ own / norms / np.linalg.norm(own)
    np.testing.assert_allclose(trust.scores, 1 - cosines, rtol=1e-5)
    assert trust.chosen.tolist() == np.flatnonzero(cosines > 0).tolist()
    for spec in ("geomed", "centred"):
        found = as_rule(spec)(x)
        apart = np.linalg.norm(x - found.vector, axis=1)
        np.testing.assert_allclose(found.scores, apart, rtol=1e-4)
    chained = as_rule("nnm+multikrum:f=2")(x)
    assert chained.chosen.size == 9
    assert as_rule("bucketing+multikrum:f=1")(x).chosen is None


def test_the_median_of_two_zeros_and_of_an_even_number_of_vectors():
    zero = as_rule("median")(np.array([[-0.0], [-0.0]], np.float32)).vector
    assert not np.signbit(zero[0])
    assert as_rule("median")(np.array([[1.0], [2.0], [4.0], [9.0]], np.float32)).vector.tolist() == [3.0]


def test_nobody_trusted_leaves_nothing():
    own = np.array([1.0, 0.0], np.float32)
    away = as_rule("fltrust")(np.array([[-1.0, 0.0], [-2.0, 1.0]], np.float32), Beside(trusted=own))
    assert away.vector.tolist() == [0.0, 0.0]
    still = as_rule("fltrust")(np.array([[0.0, 0.0], [2.0, 0.0]], np.float32), Beside(trusted=own))
    assert still.vector.tolist() == [1.0, 0.0]
    nothing = as_rule("fltrust")(np.array([[3.0, 0.0], [2.0, 0.0]], np.float32), Beside(trusted=0 * own))
    assert nothing.vector.tolist() == [0.0, 0.0]


MOST = {  # vectors -> malicious ones that a rule stands
    "median": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5], "trimmed": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5],
    "meamed": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5], "geomed": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5],
    "normclip": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5], "centred": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5],
    "krum": [-1, -1, 0, 0, 1, 1, 2, 2, 3, 3, 4], "multikrum": [-1, -1, 0, 0, 1, 1, 2, 2, 3, 3, 4],
    "krum:neighbours=n-f-1": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5],
    "bulyan": [-1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2], "fltrust": list(range(11)),
    "bucketing+trimmed": [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2], "bucketing:size=3+krum": [-1] * 6 + [0] * 5,
    "nnm+bulyan": [-1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2],
}  # fmt: skip


@pytest.mark.parametrize("spec", MOST)
def test_how_many_malicious_vectors_a_rule_stands(spec):
    rule = as_rule(spec)
    assert [rule.most(n) for n in range(1, 12)] == MOST[spec]
    for f in (0, 1):
        fewest = next((n for n in range(1, 40) if rule.most(n) >= f), None)
        assert rule.takes(f) == fewest
        assert rule.takes(f, fewest + 3) == fewest + 3


@pytest.mark.parametrize("flags", [
    "median TTFF", "trimmed TTFF", "meamed TTFF", "krum FTFF", "bulyan FTFF", "geomed FTFF", "normclip FTFF",
    "centred FTFT", "fltrust FTTF", "bucketing+median TTFF", "nnm+median FTFF", "bucketing+centred FTFT",
    "arc+fltrust FTTF",
])  # fmt: skip
def test_what_a_rule_says_of_itself(flags):
    """Each coordinate by itself; needs no data yet; trusts an update of the aggregator's own; remembers."""
    spec, said = flags.split()
    rule = as_rule(spec)
    found = (rule.by_coordinate, rule.data is None, rule.trusts, rule.remembers)
    assert "".join("FT"[flag] for flag in found) == said


def test_medians_of_few_numbers_ask_for_no_compiler(monkeypatch):
    monkeypatch.setitem(sys.modules, "aggregator.robust.selection", None)  # as where numba is not installed
    x = np.random.default_rng(0).normal(size=(7, 11)).astype(np.float32)
    np.testing.assert_allclose(as_rule("median")(x, Beside(np.zeros(11, np.float32))).vector, np.median(x, axis=0))


def test_points_are_what_they_are_made_of(monkeypatch):
    monkeypatch.setattr(points, "BLOCK", 24)
    x = np.random.default_rng(0).normal(size=(7, 11)).astype(np.float32)
    some = Points.checked(x)
    assert (len(some), some.shape) == (7, (7, 11))
    np.testing.assert_allclose(some.norms, np.linalg.norm(x, axis=1), rtol=1e-6)
    np.testing.assert_allclose(some.squared_distances, distances(x), rtol=1e-6, atol=1e-9)
    near = np.zeros((3, 4), np.float32) + np.array([1.0, 1e-8, 1e-8, 3.0], np.float32)
    assert (Points.checked(near).squared_distances >= 0).all()
    np.testing.assert_allclose(some.mean(np.array([1, 4])), x[[1, 4]].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(some.mixed(np.eye(7)[:2] + 1).vectors, x.sum(axis=0) + x[:2], rtol=1e-5)
    rows = np.concatenate([np.array(rows) for _, rows in some.sorted_blocks()])
    assert (rows == np.sort(x, axis=0).T).all()
    many = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.testing.assert_allclose(Points.checked(many).weighted(np.arange(40.0)), np.arange(40.0) @ many, rtol=1e-5)
    for bad, error in ((np.zeros(3), ShapeError), (np.zeros((2, 0)), ShapeError), (np.array([["a"]]), BadInput)):
        with pytest.raises(error):
            Points.checked(bad)
    for odd in (np.nan, np.inf):
        x[4, 2] = odd
        with pytest.raises(ShapeError, match="vector 4 holds NaN or infinity"):
            as_rule("median")(x)
    assert shrunk(np.array([1.0, 2.0, 4.0]), 2.0).tolist() == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(("n", "d", "widths"), [
    (4, 40_000, [16_384, 16_384, 7_232]), (4, 16_384, [16_384]), (65_536, 2, [1, 1]), (65_537, 2, [1, 1]),
    (32_768, 2, [2]),
])  # fmt: skip
def test_points_are_looked_at_so_many_values_at_a_time(n, d, widths):
    given = Points(np.zeros((n, d), np.float32))
    assert [values.shape for _, values in given.blocks()] == [(n, width) for width in widths]
    assert [columns.start for columns, _ in given.blocks()] == np.cumsum([0, *widths])[:-1].tolist()


@pytest.mark.parametrize("spec", ["normclip", "centred", "arc+trimmed", "geomed", "fltrust"])
def test_updates_that_are_all_zero_give_zero(spec):
    nothing = np.zeros((5, 3), np.float32)
    assert as_rule(spec)(nothing, Beside(trusted=nothing[0])).vector.tolist() == [0.0] * 3


def test_large_numbers_whose_squares_overflow_are_numbers():
    x = np.full((3, 4), 3e38, np.float32)
    assert as_rule("median")(x).vector.tolist() == x[0].tolist()
