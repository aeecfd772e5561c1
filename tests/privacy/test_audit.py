"""The audit on simulated runs: it catches broken noise, and never convicts an honest one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from fedlearn.errors import PrivacyError, ShapeError
from fedlearn.privacy.accounting import AnalyticGaussian, Release
from fedlearn.privacy.audit import audit, epsilon_at_least, p_value, scores_of_cohorts, scores_of_models
from fedlearn.privacy.pld import Pld

RATE, ROUNDS, NOISE, DELTA, CANARIES = 0.02, 300, 1.0, 1e-5, 1000
CLAIMED = Pld().epsilon([Release(RATE, NOISE, ROUNDS)], DELTA)


def simulated(seed, noise=NOISE, clip=1.0, rate=RATE, rounds=ROUNDS):
    """(seen, took part, members): canaries along directions of their own, in a run with real noise and clip."""
    random = np.random.default_rng(seed)
    members = random.random(CANARIES) < 0.5
    took_part = random.random((rounds, CANARIES)) < rate
    return clip * took_part * members + random.normal(0, noise, (rounds, CANARIES)), took_part, members


def audits(seed, **broken):
    """(by the models, by the cohorts), scored as an auditor does who believes the claim."""
    seen, took_part, members = simulated(seed, **broken)
    by_models = audit(scores_of_models(seen, RATE, NOISE), members, DELTA)
    return by_models.epsilon, audit(scores_of_cohorts(seen, took_part), members, DELTA).epsilon


@pytest.mark.parametrize("seed", range(5))
def test_honest_noise_is_below_its_claims(seed):
    by_models, by_cohorts = audits(seed)
    assert pytest.approx(2.198, abs=1e-3) == CLAIMED
    assert 0 < by_models <= CLAIMED
    # who knows the cohorts sees more than the claim for models says: their claim is another
    most = int(simulated(seed)[1].sum(axis=0).max())
    assert CLAIMED < by_cohorts <= AnalyticGaussian(math.sqrt(most) / NOISE).epsilon(DELTA)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "broken", [{"noise": NOISE / 4}, {"clip": 4.0}, {"noise": 0.0}], ids=["a quarter", "no clip", "no noise"]
)
def test_broken_noise_is_caught_by_the_models_alone(seed, broken):
    assert audits(seed, **broken)[0] > CLAIMED


def test_who_suspects_a_noise_shows_more_by_scoring_for_it():
    seen, _, members = simulated(0, noise=NOISE / 4)
    suspected = audit(scores_of_models(seen, RATE, NOISE / 4), members, DELTA).epsilon
    assert suspected > audits(0, noise=NOISE / 4)[0] + 1


@pytest.mark.parametrize("seed", range(3))
def test_full_participation(seed):
    seen, took_part, members = simulated(seed, noise=4.0, rate=1.0, rounds=20)
    exact = AnalyticGaussian(math.sqrt(20) / 4).epsilon(DELTA)
    for scores in (scores_of_models(seen, 1.0, 4.0), scores_of_cohorts(seen, took_part)):
        assert 0.5 < audit(scores, members, DELTA).epsilon <= exact


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_randomised_response_is_convicted_no_more_often_than_its_confidence_allows(epsilon):
    """It is the worst mechanism of its epsilon, so that the bound is tight: just under 5% lie above."""
    right = 1 / (1 + math.exp(-epsilon))
    above = sum(
        binom.pmf(correct, 200, right) for correct in range(201) if epsilon_at_least(200, 200, correct, 0.0) > epsilon
    )
    assert 0.01 < above <= 0.05


def test_p_values_by_hand():
    """Two guesses, both right: P = p^2, and with delta the steeper of (2p(1-p)) / 1 and (1 - p^2) / 2."""
    right = 1 / (1 + math.exp(-1))
    assert p_value(1.0, 2, 2, 2, 0.0) == pytest.approx(right**2)
    slope = max(2 * right * (1 - right), (1 - right**2) / 2)
    assert p_value(1.0, 2, 2, 2, 0.01) == pytest.approx(right**2 + 2 * 2 * 0.01 * slope)
    assert p_value(1.0, 9, 2, 0, 0.5) == 1


def test_bounds_grow_with_right_guesses_and_shrink_with_delta_and_confidence():
    bounds = [epsilon_at_least(1000, 500, correct, 1e-5) for correct in range(250, 501, 10)]
    assert bounds == sorted(bounds)
    assert bounds[0] == 0
    assert bounds[-1] == pytest.approx(5.09, abs=0.01)  # more cannot be shown by 500 guesses
    assert epsilon_at_least(1000, 500, 450, 1e-3) < epsilon_at_least(1000, 500, 450, 1e-5)
    assert epsilon_at_least(1000, 500, 450, 1e-5, 0.999) < epsilon_at_least(1000, 500, 450, 1e-5)


def test_guesses_are_the_extreme_scores():
    members = np.array([True, False, True, False, False, True])
    scores = np.array([9.0, -9.0, 0.2, 0.1, 8.0, -8.0])
    assert audit(scores, members, 0.0, guesses=2).correct == 2
    assert audit(scores, members, 0.0, guesses=4).correct == 2
    assert audit(-scores, members, 0.0, guesses=2).correct == 0


@pytest.mark.parametrize(
    "arrays", [(np.zeros(3), np.zeros(4, bool)), (np.zeros(3), np.zeros(3)), (np.zeros((2, 2)), np.zeros((2, 2), bool))]
)
def test_arrays_that_do_not_fit_are_refused(arrays):
    with pytest.raises(ShapeError, match="give"):
        audit(*arrays, 1e-5)


def test_values_out_of_range_are_refused():
    members = np.zeros(10, bool)
    for guesses in (1, 11):
        with pytest.raises(PrivacyError, match=f"{guesses} guess(es)? about 10 canaries"):
            audit(np.zeros(10), members, 1e-5, guesses=guesses)
    with pytest.raises(PrivacyError, match="1 score is not a number"):
        audit(np.array([math.nan, *range(9)]), members, 1e-5)
    for arguments in ((10, 5, 6, 0.0), (10, 11, 5, 0.0), (10, 5, -1, 0.0), (10, 5, 5, 1.0), (10, 5, 5, 0.0, 1.0)):
        with pytest.raises(PrivacyError):
            epsilon_at_least(*arguments)
