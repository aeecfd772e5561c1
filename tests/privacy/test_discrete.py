"""Exact discrete Gaussian noise. Keys are fixed where a figure is tested, so that no test fails by chance."""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy.stats import chi2

from fedlearn.errors import PrivacyError
from fedlearn.privacy import discrete
from fedlearn.privacy.discrete import DiscreteGaussian
from fedlearn.privacy.exact import LazyUniform, exp_minus, half_gaussian_cdf


def key(number):
    return number.to_bytes(32, "little")


def probabilities(sigma):
    """(values, P) up to 12 sigma, by the definition."""
    values = np.arange(-12 * sigma - 12, 12 * sigma + 13)
    weights = np.exp(-0.5 * (values / sigma) ** 2)
    return values, weights / weights.sum()


def chi_square_p(sample, sigma, cells=200):
    """The p-value of a chi-square test against the definition, over cells of at least 20 expected draws."""
    values, p = probabilities(sigma)
    share = np.cumsum(p)
    edges = np.unique(np.searchsorted(share, np.linspace(0, 1, cells + 1)[1:-1]))
    cell_of = np.searchsorted(edges, np.arange(len(values)))
    expected = np.bincount(cell_of, p) * len(sample)
    found = np.bincount(cell_of[sample - values[0]], minlength=len(expected))
    large = expected >= 20
    rest = expected[~large].sum()
    statistic = ((found - expected)[large] ** 2 / expected[large]).sum()
    if rest > 0:
        statistic += (found[~large].sum() - rest) ** 2 / rest
    return float(chi2.sf(statistic, large.sum() - 1 + (rest > 0)))


@pytest.mark.parametrize("sigma", [1, 2, 3, 20, 1000, 2**17, pytest.param(2**20, marks=pytest.mark.slow)])
def test_draws_have_the_stated_distribution(sigma):
    assert chi_square_p(DiscreteGaussian(sigma, key(sigma)).sample(1_000_000), sigma) > 0.001


def test_other_noise_fails_the_same_test():
    """A Gaussian rounded down, and one that is 1% too wide."""
    rounded = np.floor(np.random.default_rng(0).normal(0, 20, 1_000_000)).astype(np.int64)
    assert chi_square_p(rounded, 20) < 0.001
    assert chi_square_p(DiscreteGaussian(1010, key(1)).sample(1_000_000), 1000) < 0.001


@pytest.mark.parametrize("sigma", [1, 20, 1000])
@pytest.mark.parametrize("clients", [3, 16, 64])
def test_the_sum_of_clients_noise_has_the_sum_of_variances(sigma, clients):
    total = sum(DiscreteGaussian(sigma, key(100 + i)).sample(100_000) for i in range(clients))
    values, p = probabilities(sigma)
    assert total.var() == pytest.approx(clients * (p * values**2).sum(), rel=0.02)
    assert abs(total.mean()) < 4 * total.std() / 100_000**0.5


@pytest.mark.parametrize("sigma", [1, 3, 1000, 2**32])
def test_intervals_decide_as_floats_do_where_floats_are_sure(sigma, monkeypatch):
    quick = DiscreteGaussian(sigma, key(7)).sample(3000)
    monkeypatch.setattr(discrete, "MARGIN", 2.0)  # nothing is sure
    settled = []
    settle = DiscreteGaussian._settle
    monkeypatch.setattr(DiscreteGaussian, "_settle", lambda *args: settled.append(args) or settle(*args))
    np.testing.assert_array_equal(DiscreteGaussian(sigma, key(7)).sample(3000), quick)
    assert len(settled) > 3000


def test_numbers_of_few_bits_are_settled_with_more_bits():
    """From no bits at all, k and acceptance have the right distribution: every one of them is undecided at first."""
    draws = 4000
    source = DiscreteGaussian(3, key(9))
    found = np.zeros(4)
    for _ in range(draws):
        uniform, k = LazyUniform(0, 0, source._more), 0
        while not uniform.below(lambda bits, k=k: half_gaussian_cdf(k, bits)):
            k += 1
        found[min(k, 3)] += 1
    weights = np.exp(-0.5 * np.arange(10) ** 2)
    expected = np.append(weights[:3], weights[3:].sum()) / weights.sum() * draws
    assert chi2.sf(((found - expected) ** 2 / expected).sum(), 3) > 0.001

    below = sum(LazyUniform(0, 0, source._more).below(exp_minus(3, 17)) for _ in range(draws))
    p = np.exp(-3 / 17)
    assert abs(below - p * draws) < 4 * (p * (1 - p) * draws) ** 0.5


def test_a_number_is_compared_with_as_many_bits_as_it_takes():
    """The first 63 + 64 bits agree with exp(-1) to the last: only the next tell."""
    low, high = exp_minus(1, 1)(127)
    assert high == low + 1
    for word, below in ((0, True), (2**64 - 1, False)):
        words = iter([low & (2**64 - 1), word])
        assert LazyUniform(low >> 64, 63, lambda words=words: next(words)).below(exp_minus(1, 1)) is below
        assert next(words, None) is None


@pytest.mark.parametrize("bits", [1, 63, 127, 500])
@pytest.mark.parametrize(
    ("numerator", "denominator"), [(0, 5), (1, 2**41), (1, 1), (700, 3), (2**70, 2**65), (9000, 1)]
)
def test_enclosures_hold_the_number(numerator, denominator, bits):
    from decimal import Decimal, localcontext

    low, high = exp_minus(numerator, denominator)(bits)
    with localcontext(prec=500):  # the number takes 150 digits
        exact = (-Decimal(numerator) / denominator).exp() * 2**bits
        assert low <= exact <= high
    assert high - low <= 1


@pytest.mark.parametrize("bits", [1, 63, 300])
def test_enclosures_of_the_table_hold_it(bits):
    from decimal import Decimal, localcontext

    with localcontext(prec=400):
        weights = [(-Decimal(k * k) / 2).exp() for k in range(80)]
        for last in range(12):
            low, high = half_gaussian_cdf(last, bits)
            assert low <= sum(weights[: last + 1]) / sum(weights) * 2**bits <= high
            assert high - low <= 2


def test_a_key_decides_all_draws_and_without_one_none_repeat():
    assert (DiscreteGaussian(50, key(1)).sample(100) == DiscreteGaussian(50, key(1)).sample(100)).all()
    assert (DiscreteGaussian(50, key(1)).sample(100) != DiscreteGaussian(50, key(2)).sample(100)).any()
    source = DiscreteGaussian(1000)
    draws = [source.sample(50).tobytes(), source.sample(50).tobytes(), DiscreteGaussian(1000).sample(50).tobytes()]
    assert len(set(draws)) == 3


def test_a_forked_child_draws_other_noise_than_its_parent():
    source = DiscreteGaussian(2**20)
    source.sample(1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, source.sample(20).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 160) != source.sample(20).tobytes()


@pytest.mark.parametrize("n", [0, 1, 5, 20_000, 100_003])
def test_as_many_values_as_asked(n):
    sample = DiscreteGaussian(20).sample(n)
    assert sample.shape == (n,)
    assert sample.dtype == np.int64


@pytest.mark.parametrize("sigma", [0, -1, 1.5, 20.0, float("nan"), 2**32 + 1, True, "20"])
def test_other_sigmas_are_refused(sigma):
    with pytest.raises(PrivacyError, match=f"sigma is {sigma}, it must be an integer from 1 to 2\\^32"):
        DiscreteGaussian(sigma)


@pytest.mark.parametrize("n", [-1, 2.0, True])
def test_other_sizes_are_refused(n):
    with pytest.raises(PrivacyError, match="values were asked for"):
        DiscreteGaussian(20).sample(n)


def test_a_short_key_is_refused():
    with pytest.raises(PrivacyError, match="noise key of 16 bytes"):
        DiscreteGaussian(20, bytes(16))
