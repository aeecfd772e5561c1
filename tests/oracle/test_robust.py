"""Our robust rules beside those of byzfl, live."""

from __future__ import annotations

import numpy as np
import pytest

from aggregator.robust import Beside, as_rule
from scenarios.bench import robust


@pytest.fixture(scope="module")
def byzfl():
    """Its rules and what it does before them, in one namespace."""
    found = robust.byzfl()
    if found is None:
        pytest.skip("byzfl is not installed: pip install --no-deps byzfl==0.0.11, beside torch")
    return found


def vectors(n: int, kind: str) -> np.ndarray:
    """float32 (n, 300), a fifth of them malicious, in several ways; "ties" has equal vectors and equal values."""
    rng = np.random.default_rng(n)
    clean = rng.normal(1, 1, (n, 300)).astype(np.float32)
    f = n // 5
    if kind == "ipm":
        clean[:f] = -8 * clean[f:].mean(axis=0)
    if kind == "ties":
        clean[:f] = clean[f]
        clean[-2:] = clean[-3]
        clean[:, :50] = clean[0, :50]
        clean[f : n // 2, 50:100] = 1
    return clean


CASES = pytest.mark.parametrize("kind", ["clean", "ipm", "ties"])
SIZES = pytest.mark.parametrize("n", [10, 11, 100])
SAME = {
    spec: theirs for spec, theirs in robust.RULES.items() if theirs and not spec.startswith(("geomed", "bucketing"))
}
RULES = SAME | {  # the bounds that a benchmark's vectors never reach are reached here
    "centred:steps=1,radius=5": lambda b, f: b.CenteredClipping(L=1, tau=5.0),
    "centred:steps=4,radius=5": lambda b, f: b.CenteredClipping(L=4, tau=5.0),
    "normclip:bound=7": lambda b, f: lambda v: b.Average()(b.Clipping(7.0)(v.copy())),
    "nnm+krum:f={f},neighbours=n-f-1": lambda b, f: lambda v: b.Krum(f)(b.NNM(f)(v)),
}


@SIZES
@CASES
@pytest.mark.parametrize("spec", RULES)
def test_rules(byzfl, spec, n, kind):
    given, f = vectors(n, kind), n // 5
    ours = as_rule(spec.format(f=f))(given).vector
    assert ours == pytest.approx(RULES[spec](byzfl, f)(given.astype(np.float64)), rel=1e-6, abs=1e-6)


@SIZES
@CASES
@pytest.mark.parametrize("steps", [1, 3, 32])
def test_geometric_median(byzfl, n, kind, steps):
    """Theirs starts at zero and ours at the mean, so theirs is given what lies round the mean."""
    given = vectors(n, kind)
    mean = given.astype(np.float64).mean(axis=0)
    theirs = mean + byzfl.GeometricMedian(nu=0.1, T=steps)(given - mean)
    assert as_rule(f"geomed:steps={steps},floor=0.1")(given).vector == pytest.approx(theirs, rel=1e-6, abs=1e-6)


@SIZES
@CASES
def test_bucketing_in_the_same_order(byzfl, n, kind, monkeypatch):
    given = vectors(n, kind)
    order = np.random.default_rng(5).permutation(n)
    monkeypatch.setattr(np.random, "permutation", lambda rows: rows[order])
    theirs = byzfl.Median()(byzfl.Bucketing(3)(given.astype(np.float64)))
    ours = as_rule("bucketing:size=3+median")(given, Beside(np.random.default_rng(5))).vector
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)


def test_clipping_goes_on_as_theirs_does(byzfl):
    theirs, ours = byzfl.CenteredClipping(L=2, tau=4.0), None
    for seed in range(3):
        given = vectors(11 + seed, "ipm")
        ours = as_rule("centred:steps=2,radius=4")(given, Beside(previous=ours)).vector
        assert ours == pytest.approx(theirs(given.astype(np.float64)), rel=1e-6, abs=1e-6)
