"""Our accountants beside Opacus and dp-accounting, live."""

from __future__ import annotations

import logging

import pytest

from fedlearn.privacy.accounting import Release
from fedlearn.privacy.pld import Pld
from fedlearn.privacy.rdp import ORDERS, Rdp

# rate, noise, rounds, delta
CASES = [
    (0.1, 1.0, 60, 1e-5),
    (0.02, 1.3, 300, 1e-6),
    (0.3, 3.0, 50, 1e-5),
    (0.004, 0.6, 40, 1e-8),
    (1.0, 4.0, 200, 1e-6),
]
CASES_OF = pytest.mark.parametrize(("rate", "noise", "rounds", "delta"), CASES)


@CASES_OF
def test_rdp_agrees_with_opacus(rate, noise, rounds, delta):
    analysis = pytest.importorskip("opacus.accountants.analysis.rdp")
    theirs = analysis.compute_rdp(q=rate, noise_multiplier=noise, steps=rounds, orders=ORDERS.tolist())
    epsilon, _ = analysis.get_privacy_spent(orders=ORDERS.tolist(), rdp=theirs, delta=delta)
    assert Rdp().epsilon([Release(rate, noise, rounds)], delta) == pytest.approx(epsilon, abs=1e-5)


@pytest.fixture
def dp():
    dp = pytest.importorskip("dp_accounting")
    logging.getLogger("absl").setLevel(logging.ERROR)
    return dp


@CASES_OF
@pytest.mark.parametrize(("adjacency", "theirs"), [("zero-out", "REPLACE_SPECIAL"), ("replace-one", "REPLACE_ONE")])
def test_pld_agrees_with_dp_accounting(dp, rate, noise, rounds, delta, adjacency, theirs):
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(dp.NeighboringRelation[theirs])
    accountant.compose(dp.PoissonSampledDpEvent(rate, dp.GaussianDpEvent(noise)), rounds)
    ours = Pld().epsilon([Release(rate, noise, rounds, adjacency)], delta)
    assert ours == pytest.approx(accountant.get_epsilon(delta), abs=1e-4)


def test_different_releases_add_up_as_in_dp_accounting(dp):
    from dp_accounting.pld import PLDAccountant

    accountant, releases = PLDAccountant(), []
    for rate, noise, count in ((0.1, 1.0, 20), (0.05, 0.8, 7), (1.0, 9.0, 2)):
        accountant.compose(dp.PoissonSampledDpEvent(rate, dp.GaussianDpEvent(noise)), count)
        releases.append(Release(rate, noise, count))
    assert Pld().epsilon(releases, 1e-5) == pytest.approx(accountant.get_epsilon(1e-5), abs=1e-4)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize(("cohort", "clients", "rounds"), [(83, 830, 60), (10, 1000, 100), (400, 800, 5)])
def test_cohorts_of_a_fixed_size_cost_no_less_than_in_dp_accounting(dp, noise, cohort, clients, rounds):
    """They have the theorem that we use and, for Gaussians, a tighter one; and the plain Gaussian bounds both."""
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(neighboring_relation=dp.NeighboringRelation.REPLACE_ONE)
    accountant.compose(dp.SampledWithoutReplacementDpEvent(clients, cohort, dp.GaussianDpEvent(noise / 2)), rounds)
    ours = Rdp().epsilon([Release(cohort / clients, noise, rounds, "replace-one", "fixed")], 1e-5)
    unamplified = Rdp().epsilon([Release(1.0, noise, rounds, "replace-one")], 1e-5)
    assert min(accountant.get_epsilon(1e-5), unamplified) - 1e-6 <= ours <= unamplified
