"""The accountants against known answers, numeric integrals and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from fedlearn.errors import BadInput, PrivacyError
from fedlearn.privacy import ACCOUNTANTS
from fedlearn.privacy.accounting import AnalyticGaussian, Release
from fedlearn.privacy.pld import Added, Losses, Pld, Removed, Replaced, composed, window
from fedlearn.privacy.rdp import Rdp, divergences

# rate, noise, rounds, delta -> RDP by Opacus 1.6; PLD by dp-accounting 0.6.0, adding or removing a client, and
# replacing one (None: not sampled, the analytic Gaussian is exact)
KNOWN = [
    (0.1, 1.0, 60, 1e-5, 6.331062, 5.572689, 7.917088),
    (0.1, 0.7, 60, 1e-5, 13.187899, 11.571581, 14.339167),
    (0.02, 1.0, 300, 1e-5, 2.563383, 2.198288, 3.194513),
    (0.05, 2.0, 500, 1e-6, 3.101868, 2.872629, 5.551006),
    (0.3, 3.0, 50, 1e-5, 3.509635, 3.207057, 6.501400),
    (1.0, 4.0, 200, 1e-6, 23.703891, 22.424516, None),
    (1.0, 1.0, 1, 1e-5, 4.728507, 4.377178, None),
    (0.01, 1.0, 1000, 1e-5, 2.101365, 1.828244, None),
    (0.1, 0.8, 100, 1e-5, 12.358541, 10.976378, None),
    (0.1, 1.0, 100, 1e-4, 6.821629, 5.965915, None),
]
rates = st.floats(0.001, 1.0)
noises = st.floats(0.4, 20.0)
counts = st.integers(1, 200)
deltas = st.sampled_from([1e-9, 1e-6, 1e-5, 1e-3, 0.1])


@pytest.mark.parametrize(("rate", "noise", "rounds", "delta", "rdp", "pld", "replaced"), KNOWN)
def test_known_answers(rate, noise, rounds, delta, rdp, pld, replaced):
    release = Release(rate, noise, rounds)
    assert Rdp().epsilon([release], delta) == pytest.approx(rdp, abs=1e-5)
    assert Pld().epsilon([release], delta) == pytest.approx(pld, abs=1e-4)
    if replaced is not None:
        other = Release(rate, noise, rounds, "replace-one")
        assert Pld().epsilon([other], delta) == pytest.approx(replaced, abs=1e-4)


def test_accountants_show_how_they_are_made():
    assert [repr(ACCOUNTANTS.load(name)()) for name in ("rdp", "pld")] == ["Rdp()", "Pld(step=0.0001)"]


def test_a_coarse_grid_is_a_little_above_a_fine_one():
    for rate, noise, rounds, delta, _, pld, _ in KNOWN:
        assert pld - 1e-6 <= Pld(1e-3).epsilon([Release(rate, noise, rounds)], delta) <= pld + 0.004


def test_a_cohort_of_a_fixed_size_is_not_a_poisson_sample():
    """83 of 830, z = 1, 60 rounds: above what one sees who knows that all others send the opposite of the target."""
    delta = 6.15e-4
    poisson = Pld().epsilon([Release(0.1, 1.0, 60)], delta)
    attainable = Pld().epsilon([Release(0.1, 0.5, 60)], delta)
    fixed = Rdp().epsilon([Release(0.1, 1.0, 60, "replace-one", "fixed")], delta)
    assert (poisson, attainable) == pytest.approx((3.860408, 17.881747), abs=1e-4)
    assert fixed == pytest.approx(50.293766, abs=1e-4)  # dp-accounting 0.6.0


@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize(("noise", "rounds"), [(1.0, 1), (1.0, 60), (4.0, 200), (50.0, 1000)])
def test_full_participation_is_the_analytic_gaussian(noise, rounds, delta):
    exact = AnalyticGaussian(math.sqrt(rounds) / noise).epsilon(delta)
    assert Pld().epsilon([Release(1.0, noise, rounds)], delta) == pytest.approx(exact, abs=1e-6)
    for kind in (Removed, Added):  # the grid, which it does not use there, agrees too
        parts = [(Losses.of(kind(1.0, noise), 1e-4), rounds)]
        assert composed(parts, *window(parts)).epsilon(delta) == pytest.approx(exact, abs=2e-5)


@given(st.floats(0.01, 50.0), deltas)
def test_the_analytic_gaussian_inverts_itself(mu, delta):
    gaussian = AnalyticGaussian(mu)
    epsilon = gaussian.epsilon(delta)
    assert epsilon >= 0
    assert gaussian.delta(epsilon) == pytest.approx(delta, rel=1e-5) or (epsilon == 0 and gaussian.delta(0) <= delta)


def test_gaussians_without_distance_cost_nothing_and_without_noise_everything():
    assert AnalyticGaussian(0.0).epsilon(1e-5) == 0
    assert AnalyticGaussian(math.inf).epsilon(1e-5) == math.inf


def integrated(p, q, epsilon, z):
    """The integral of (p - e^epsilon q)+ by brute force."""
    x, width = np.linspace(-14 * z - 1, 14 * z + 1, 400_001, retstep=True)
    return np.maximum(p(x) - np.exp(epsilon) * q(x), 0).sum() * width


@pytest.mark.parametrize("epsilon", [-3.0, -0.4, -0.05, 0.0, 0.02, 0.3, 1.0, 4.0])
@pytest.mark.parametrize(("rate", "noise"), [(0.1, 1.0), (0.5, 0.5), (0.01, 3.0), (0.95, 1.0)])
def test_deltas_of_a_pair_are_its_integrals(rate, noise, epsilon):
    def mixture(shift):
        return lambda x: (1 - rate) * norm.pdf(x, 0, noise) + rate * norm.pdf(x, shift, noise)

    pairs = {Removed: (mixture(1), mixture(0)), Added: (mixture(0), mixture(1)), Replaced: (mixture(1), mixture(-1))}
    for kind, (p, q) in pairs.items():
        found = kind(rate, noise).delta(np.array([epsilon]))[0]
        assert found == pytest.approx(integrated(p, q, epsilon, noise), abs=1e-8)


@pytest.mark.parametrize(("rate", "noise"), [(0.1, 1.0), (0.3, 0.6), (0.02, 4.0)])
def test_divergences_are_their_integrals(rate, noise):
    x, width = np.linspace(-14 * noise, 70 + 14 * noise, 400_001, retstep=True)
    ratio = np.log(1 - rate + rate * np.exp((2 * x - 1) / (2 * noise**2)))
    found = divergences(Release(rate, noise))
    for place, order in ((0, 1.1), (35, 4.6), (98, 10.9), (100, 12.0)):
        moment = np.sum(np.exp(order * ratio + norm.logpdf(x, 0, noise))) * width
        assert found[place] == pytest.approx(math.log(moment) / (order - 1), rel=1e-7, abs=1e-11)


@settings(max_examples=30)  # six curves of losses each
@given(rates, noises, counts, deltas)
def test_order_of_bounds(rate, noise, count, delta):
    """PLD <= RDP <= RDP without amplification; less noise and more rounds cost more; splitting changes nothing."""
    release = Release(rate, noise, count)
    pld, rdp = Pld(1e-3).epsilon([release], delta), Rdp().epsilon([release], delta)
    assert pld <= rdp + 0.01
    assert rdp <= Rdp().epsilon([Release(1.0, noise, count)], delta) + 1e-9
    assert Rdp().epsilon([Release(rate, noise / 1.1, count)], delta) >= rdp
    assert Pld(1e-3).epsilon([Release(rate, noise / 1.1, count)], delta) >= pld - 0.004  # maybe on another grid
    assert Pld(1e-3).epsilon([Release(rate, noise, count + 1)], delta) >= pld - 1e-6
    if count > 1:
        parts = [Release(rate, noise, count - 1), Release(rate, noise, 1)]
        assert Pld(1e-3).epsilon(parts, delta) == pytest.approx(pld, abs=1e-6)
        assert Rdp().epsilon(parts, delta) == pytest.approx(rdp)


@pytest.mark.parametrize("name", ACCOUNTANTS.entries)
def test_a_delta_that_pays_for_all_leaves_nothing_to_epsilon(name):
    accountant = ACCOUNTANTS.load(name)()
    assert accountant.epsilon([Release(0.1, 10.0)], 0.5) == 0
    assert accountant.epsilon([Release(1.0, 10.0)], 0.5) == 0


def test_extreme_noise_gets_a_coarser_grid_and_stays_a_bound():
    for noise, rounds in ((0.05, 1000), (0.02, 3), (1000.0, 10)):
        release = Release(0.5, noise, rounds)
        pld = Pld().epsilon([release], 1e-5)
        assert 0 < pld <= Rdp().epsilon([release], 1e-5)


@pytest.mark.parametrize("name", ACCOUNTANTS.entries)
def test_every_accountant_answers_alike(name):
    accountant = ACCOUNTANTS.load(name)()
    assert accountant.epsilon([], 1e-5) == 0
    assert 0 < accountant.epsilon([Release(0.1, 1.0)], 1e-5) < accountant.epsilon([Release(0.1, 1.0, 9)], 1e-5)
    with pytest.raises(PrivacyError, match="no common epsilon"):
        accountant.epsilon([Release(1.0, 1.0), Release(1.0, 1.0, adjacency="replace-one")], 1e-5)
    for delta in (0.0, 1e-10, 1.0, float("nan")):
        with pytest.raises(PrivacyError, match=f"delta is {delta:g}"):
            accountant.epsilon([Release(0.1, 1.0)], delta)


KNOWN_NOISE = {1: 2.328, 3: 1.144, 8: 0.706}  # by bisection with dp-accounting 0.6.0


@pytest.mark.parametrize("name", ACCOUNTANTS.entries)
@pytest.mark.parametrize("epsilon", [0.05, 1, 3, 8, 60])
def test_noise_is_found_and_never_too_little(name, epsilon):
    accountant = ACCOUNTANTS.load(name)()
    noise = accountant.noise(epsilon, 6.177e-4, lambda z: [Release(0.1, z, 60)])
    assert accountant.epsilon([Release(0.1, noise, 60)], 6.177e-4) <= epsilon
    assert accountant.epsilon([Release(0.1, noise * 0.9999, 60)], 6.177e-4) > epsilon
    if isinstance(accountant, Pld) and epsilon in KNOWN_NOISE:
        assert noise == pytest.approx(KNOWN_NOISE[epsilon], abs=5e-4)


@pytest.mark.parametrize("epsilon", [0, -1, float("inf"), float("nan")])
def test_no_noise_gives_such_an_epsilon(epsilon):
    with pytest.raises(PrivacyError, match="epsilon is"):
        Rdp().noise(epsilon, 1e-5, lambda z: [Release(0.1, z)])


def test_epsilons_out_of_reach_are_refused():
    with pytest.raises(PrivacyError, match="takes noise above 1e6"):
        Rdp().noise(1e-9, 1e-9, lambda z: [Release(1.0, z, 100)])
    with pytest.raises(PrivacyError, match="reached with noise below"):
        Rdp().noise(1e9, 1e-5, lambda z: [Release(1.0, z)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rate": 0.0}, "sampling rate is 0"),
        ({"rate": 1.1}, "sampling rate is 1.1"),
        ({"rate": math.nan}, "release rate is nan"),
        ({"noise": 0.0}, "noise is 0"),
        ({"noise": -1.0}, "noise is -1"),
        ({"noise": math.inf}, "noise is inf"),
        ({"count": 0}, "0 releases"),
        ({"adjacency": "add-one"}, "'add-one'"),
        ({"sampling": "uniform"}, "'uniform'"),
        ({"sampling": "fixed"}, "not amplified under zero-out"),
    ],
)
def test_releases_out_of_range_are_refused(arguments, said):
    with pytest.raises(PrivacyError, match=said):
        Release(**{"rate": 0.1, "noise": 1.0, **arguments})


def test_what_an_accountant_cannot_bound_is_refused_by_name():
    with pytest.raises(PrivacyError, match="pld accountant has no bound for samples of a fixed size: use rdp"):
        Pld().epsilon([Release(0.1, 1.0, 1, "replace-one", "fixed")], 1e-5)
    with pytest.raises(PrivacyError, match="rdp accountant has no bound for Poisson samples under replace-one"):
        Rdp().epsilon([Release(0.1, 1.0, 1, "replace-one")], 1e-5)
    with pytest.raises(BadInput, match="step of the grid"):
        Pld(0.0)
