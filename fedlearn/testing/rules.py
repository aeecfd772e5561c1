"""Checks that every robust rule must pass."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.wording import many

COUNTS = (1, 2, 3, 4, 5, 11)
MANY, LIARS = 23, 4
LARGE = 250_000  # weights of each of 16 vectors: 16 MB
MOST_MEMORY = 2.5  # times what a rule was given
CLOSE = 1e-4  # of a vector's length: results may differ by as much where sums run in another order


@dataclass(frozen=True, eq=False)
class Beside:
    """What a rule is given beside the vectors, under the names of `aggregator.robust.Beside`."""

    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    previous: np.ndarray | None = None
    trusted: np.ndarray | None = None


def check_rule(rule: Any) -> None:
    """Raise `AssertionError` unless `rule`, an `aggregator.robust.Rule`, combines vectors as a run needs it to.

    The result follows from the vectors and the generator alone, bit for bit, and not from their order where the rule
    draws nothing; equal vectors give that vector; ties, f = 0 and vectors of zeros are no trouble; NaN, infinity and
    more malicious vectors than it stands are refused as `BadInput`; float64 gives what float32 gives; a few far vectors
    do not carry the result away; and no more memory is taken than a copy or two of the vectors.
    """
    _check_counts(rule)
    _check_order(rule)
    _check_equal(rule)
    _check_hostile(rule)
    _check_refusals(rule)
    _check_memory(rule)


def _check_counts(rule: Any) -> None:
    """Any number that it stands, with no malicious ones and with the most, drawn at random and with ties."""
    stood = [rule.most(n) for n in COUNTS]
    assert stood == sorted(stood), f"most() falls with the number of vectors: {dict(zip(COUNTS, stood, strict=True))}"
    assert max(stood) >= 0, f"most() is {max(stood)} for {many(COUNTS[-1], 'vector')}: the rule takes none of them"
    for n, most in zip(COUNTS, stood, strict=True):
        assert most < n, f"most({n}) is {most}: a rule that stands that all are malicious stands nothing"
        for given in [rule] if most < 0 else [_with(rule, 0), _with(rule, most)]:
            for vectors in (_honest(n), np.round(_honest(n)), np.zeros((n, 9), np.float32)):
                if most >= 0 and given.most(n) >= (given.f or 0):
                    _checked(given, vectors)


def _checked(rule: Any, vectors: np.ndarray, **beside: Any) -> Any:
    """What the rule makes of vectors, as far as it holds of any; previous, trusted: by default their first."""
    n, d = vectors.shape
    kept, last = vectors.copy(), beside.get("previous", vectors[0].copy())
    own = beside.get("trusted", vectors[0].copy())

    def combined(given: np.ndarray) -> Any:
        return rule(given, Beside(np.random.default_rng(7), last.copy(), own.copy()))

    found, again = combined(vectors), combined(vectors.copy())
    assert np.array_equal(vectors, kept), "the rule wrote to the vectors: make new ones"
    vector = found.vector
    assert isinstance(vector, np.ndarray), f"the result is a {type(vector).__name__}, no array"
    assert (vector.dtype, vector.shape) == (np.float32, (d,)), f"the result is {vector.dtype} {vector.shape}"
    assert np.isfinite(vector).all(), f"of {many(n, 'finite vector')} the rule made NaN or infinity"
    assert vector.tobytes() == again.vector.tobytes(), "the same vectors and generator give other bits the second time"
    for other in (vectors.astype(np.float64), np.asfortranarray(vectors)):
        assert combined(other).vector.tobytes() == vector.tobytes(), "float64, or another order in memory, changes bits"
    longest = max(float(np.linalg.norm(each)) for each in (*vectors, last, own))
    length = float(np.linalg.norm(vector))
    assert length <= longest * (1 + CLOSE), f"the result has length {length:.3g}, the longest vector {longest:.3g}"
    if found.chosen is not None:
        chosen = np.asarray(found.chosen)
        right = np.array_equal(chosen, np.unique(chosen)) and set(chosen.tolist()) <= set(range(n))
        assert right, f"chosen is {chosen.tolist()}: give numbers of vectors in rising order, each once"
    if found.scores is not None:
        assert np.shape(found.scores) == (n,), f"scores have shape {np.shape(found.scores)} for {many(n, 'vector')}"
    return found


def _check_order(rule: Any) -> None:
    vectors = _honest(MANY)
    vectors[:LIARS] *= -1
    order = np.random.default_rng(3).permutation(MANY)
    beside = {"previous": vectors[9].copy(), "trusted": vectors[9].copy()}
    found = _checked(rule, vectors, **beside)
    others = [rule(vectors, Beside(np.random.default_rng(seed), **beside)).vector for seed in range(3)]
    if any(other.tobytes() != others[0].tobytes() for other in others):
        return  # it draws: whom a vector meets depends on where it stands
    again = _checked(rule, vectors[order], **beside)
    assert _near(again.vector, found.vector), "the order of vectors decides the result, and the rule draws nothing"


def _check_equal(rule: Any) -> None:
    one = _honest(1)[0]
    for n in COUNTS:
        if rule.most(n) >= (rule.f or 0):
            found = _checked(rule, np.repeat(one[None], n, axis=0))
            assert _near(found.vector, one), f"of {many(n, 'equal vector')} the rule makes another one"


def _check_hostile(rule: Any) -> None:
    vectors = _honest(MANY)
    liars = min(rule.malicious(MANY), LIARS)
    if not liars:
        return
    honest = vectors[liars:]
    middle = honest.mean(axis=0)
    reach = 1.5 * float(np.linalg.norm(honest - middle, axis=1).max() + np.linalg.norm(middle))
    for far in (-1000.0, 1000.0):
        vectors[:liars] = far
        found = _checked(rule, vectors, previous=middle, trusted=middle)
        apart = float(np.linalg.norm(found.vector - middle))
        assert apart <= reach, (
            f"{liars} of {MANY} vectors far away move the result by {apart:.3g}, honest ones lie within {reach:.3g}: "
            "most() promises that it stands them"
        )


def _check_refusals(rule: Any) -> None:
    for wrong in (np.nan, np.inf, -np.inf):
        vectors = _honest(COUNTS[-1])
        vectors[3, 2] = wrong
        assert _refuses(rule, vectors), f"a vector that holds {wrong} is taken: raise BadInput, or keep Rule.__call__"
    if _takes_f(rule):
        greedy = _with(rule, rule.most(COUNTS[-1]) + 1)
        assert _refuses(greedy, _honest(COUNTS[-1])), f"f={greedy.f} of {COUNTS[-1]} is taken: call malicious(n)"


def _refuses(rule: Any, vectors: np.ndarray) -> bool:
    try:
        rule(vectors, Beside(previous=_honest(1)[0], trusted=_honest(1)[0]))
    except BadInput:
        return True
    return False


def _check_memory(rule: Any) -> None:
    vectors = _honest(16, LARGE)
    beside = Beside(previous=vectors[0].copy(), trusted=vectors[0].copy())
    rule(vectors[:, :9], Beside(previous=vectors[0, :9], trusted=vectors[0, :9]))  # imports are not its memory
    tracemalloc.start()
    try:
        rule(vectors, beside)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= MOST_MEMORY * vectors.nbytes, (
        f"the rule takes {peak / vectors.nbytes:.1f} times the memory of its vectors: work in blocks of columns"
    )


def _with(rule: Any, f: int) -> Any:
    """The rule for another f, where it takes one."""
    return replace(rule, f=f) if _takes_f(rule) else rule


def _takes_f(rule: Any) -> bool:
    return "f" in getattr(rule, "__dataclass_fields__", ())


def _honest(n: int, d: int = 9) -> np.ndarray:
    """Updates that agree on a direction, float32 (n, d)."""
    return (1 + np.random.default_rng(0).normal(0, 0.3, (n, d))).astype(np.float32)


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.linalg.norm(one - other)) <= CLOSE * float(np.linalg.norm(other))
