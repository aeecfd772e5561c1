"""An audit: a lower bound on the epsilon that a training run really has, from canaries that were or were not in it.

Steinke, Nasr, Jagielski 2023, "Privacy auditing with one (1) training run". Each of m canaries is in the run by a fair
coin of its own: a canary client sends an update that nobody else would, or zeros (zero-out). Whoever audits scores all
canaries by what a party sees, guesses "in" for the highest and "out" for the lowest scores, and counts how many
guesses are right. Under (epsilon, delta) privacy there cannot be many more right ones than under randomised response.

An audit can show that a claim is false. It cannot show that one is true: it needs noise off by a factor to notice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from fedlearn.checked import as_array, real_array, takes_plain
from fedlearn.errors import PrivacyError, ShapeError
from fedlearn.privacy.limits import SMALLEST_NOISE, privacy_errors
from fedlearn.wording import many

CEILING = 100.0  # of what is searched for
MOST_CANARIES = 10**7


@dataclass(frozen=True)
class Audit:
    """A lower bound: the run's epsilon is at least `epsilon`, with the confidence asked for, by the correct guesses."""

    epsilon: float
    guesses: int
    correct: int


@privacy_errors()
@takes_plain
def audit(
    scores: np.ndarray, members: np.ndarray, delta: float, guesses: int | None = None, confidence: float = 0.95
) -> Audit:
    """Guess by scores, and bound epsilon from below.

    scores: float (m,), higher for canaries that look as if they were in. members: bool (m,), which were.
    guesses: how many, half of them "in", decided before anybody looks (default: half of all canaries).
    Raises `ShapeError` for arrays that do not fit and `PrivacyError` for values out of range.
    """
    scores, members = real_array("scores", scores, nan=True), as_array("members", members)
    if scores.ndim != 1 or members.shape != scores.shape or members.dtype != bool:
        raise ShapeError(
            f"scores {scores.shape} and members {members.shape} {members.dtype}: give (m,) floats and (m,) bools"
        )
    guesses = len(scores) // 2 if guesses is None else guesses
    if not 2 <= guesses <= len(scores):
        raise PrivacyError(
            f"{many(guesses, 'guess', 'guesses')} about {many(len(scores), 'canary', 'canaries')}: at least 2, and one "
            "each at most"
        )
    if np.isnan(scores).any():
        raise PrivacyError(f"{many(np.isnan(scores).sum(), 'score is', 'scores are')} not a number: score every canary")
    order = np.argsort(scores, kind="stable")
    below = guesses // 2
    correct = int(members[order[len(order) - (guesses - below) :]].sum() + (~members[order[:below]]).sum())
    return Audit(epsilon_at_least(len(scores), guesses, correct, delta, confidence), guesses, correct)


@privacy_errors()
@takes_plain
def epsilon_at_least(canaries: int, guesses: int, correct: int, delta: float, confidence: float = 0.95) -> float:
    """The largest epsilon that so many right guesses rule out, 0 where they rule out none.

    Raises `PrivacyError` for counts that do not fit, a delta outside of [0, 1) or a confidence outside of (0, 1).
    """
    _check_counts(canaries, guesses, correct, delta)
    if not 0 < confidence < 1:
        raise PrivacyError(f"the confidence is {confidence:g}, it must be above 0 and below 1")

    def excess(epsilon: float) -> float:
        return _p_value(epsilon, canaries, guesses, correct, delta) - (1 - confidence)

    if excess(0.0) >= 0:
        return 0.0
    if excess(CEILING) < 0:
        return CEILING
    return float(brentq(excess, 0.0, CEILING, xtol=1e-9))


@privacy_errors()
@takes_plain
def p_value(epsilon: float, canaries: int, guesses: int, correct: int, delta: float) -> float:
    """How likely so many right guesses are at most, under (epsilon, delta) privacy (their theorem 5.2).

    Each guess is right with probability e^epsilon / (1 + e^epsilon) at most, and delta adds 2 m delta times the
    steepest mean slope of the distribution below what was found. Raises `PrivacyError` for counts that do not fit, an
    epsilon below 0 or a delta outside of [0, 1).
    """
    _check_counts(canaries, guesses, correct, delta)
    if epsilon < 0:
        raise PrivacyError(f"epsilon is {epsilon:g}, it must be at least 0")
    return _p_value(epsilon, canaries, guesses, correct, delta)


def _check_counts(canaries: int, guesses: int, correct: int, delta: float) -> None:
    if not 0 <= correct <= guesses <= canaries <= MOST_CANARIES:
        raise PrivacyError(
            f"{correct} right of {many(guesses, 'guess', 'guesses')} about {many(canaries, 'canary', 'canaries')}: "
            f"these do not fit, or are over {MOST_CANARIES:,}"
        )
    if not 0 <= delta < 1:
        raise PrivacyError(f"delta is {delta:g}, it must be at least 0 and below 1")


def _p_value(epsilon: float, canaries: int, guesses: int, correct: int, delta: float) -> float:
    right = 1 / (1 + math.exp(-epsilon))
    if correct == 0:
        return 1.0
    tail = float(binom.sf(correct - 1, guesses, right))
    below = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, right))  # P[found > W >= found - i]
    slope = float(np.max(below / np.arange(1, correct + 1)))
    return min(1.0, tail + 2 * canaries * delta * slope)


@privacy_errors()
@takes_plain
def scores_of_models(seen: np.ndarray, rate: float, noise: float) -> np.ndarray:
    """Log-likelihood ratios of canaries for who sees the models and not the coins, float64 (m,).

    seen: (rounds, m), what each sum held along each canary's direction, divided by the clip. noise: as claimed.
    """
    x = real_array("seen", seen, 2)
    if not (0 < rate <= 1 and noise >= SMALLEST_NOISE):
        raise PrivacyError(f"rate {rate:g} and noise {noise:g}: it takes 0 < rate <= 1, and {SMALLEST_NOISE} or more")
    rest = math.log1p(-rate) if rate < 1 else -math.inf
    found: np.ndarray = np.logaddexp(rest, math.log(rate) + (2 * x - 1) / (2 * noise**2)).sum(axis=0)
    return found


def scores_of_cohorts(seen: np.ndarray, took_part: np.ndarray) -> np.ndarray:
    """The same for who knows the cohorts. took_part: bool (rounds, m), also of canaries that sent zeros."""
    x, there = real_array("seen", seen, 2), as_array("took_part", took_part)
    if there.shape != x.shape or there.dtype != bool:
        raise ShapeError(f"seen {x.shape}, took_part {there.shape} {there.dtype}: give (rounds, m) floats and bools")
    found: np.ndarray = ((x - 0.5) * there).sum(axis=0)
    return found
