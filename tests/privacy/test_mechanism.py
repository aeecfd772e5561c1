"""Clipped integers never exceed their norm, noise has the stated size, and both halves fit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedlearn.errors import PrivacyError, ShapeError
from fedlearn.privacy.discrete import DiscreteGaussian
from fedlearn.privacy.mechanism import GaussianMechanism, _scaled
from tests.privacy.test_discrete import key

BITS = st.integers(4, 31)
anything = st.floats(width=64, allow_nan=True, allow_infinity=True)
# many rows of one value are what rounding lifts most
flat = st.builds(lambda n, value: np.full(n, value), st.integers(1, 30_000), st.floats(1e-6, 1e6))
normal = st.builds(
    lambda shape, scale, seed: np.random.default_rng(seed).normal(0, scale, shape),
    array_shapes(min_dims=1, max_dims=2, max_side=400),
    st.sampled_from([1e-300, 1e-4, 1.0, 1e200]),
    st.integers(0, 2**32),
)
updates = (
    arrays(np.float64, array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=30), elements=anything) | flat | normal
)
clips = st.sampled_from([5e-324, 1e-3, 0.3, 1.0, 7.0, 1e308])


def mechanism(bits):
    return GaussianMechanism(noise=1000.0 if bits < 8 else 1.0, steps=2**bits, expected=10.0)


def rounded_floats(x, clip, bits):
    """As it is often done: clip and scale in floats, round, and trust."""
    norms = np.linalg.norm(np.atleast_2d(x), axis=1, keepdims=True)
    return np.rint(2**bits * np.minimum(1, clip / np.maximum(norms, 1e-300)) * np.atleast_2d(x) / clip).astype(np.int64)


def longest(q):
    """The largest sum of squares of a row, by Python's own integers."""
    return max((sum(int(v) ** 2 for v in row) for row in np.atleast_2d(q)), default=0)


@given(updates, BITS, clips)
@example(np.full(4 * 16**2, 1.0), 4, 1.0)  # every value lies at half a step
def test_integer_norms_never_exceed_the_steps(x, bits, clip):
    q = mechanism(bits).quantise(x, clip)
    assert q.dtype == np.int64
    assert q.shape == x.shape
    assert longest(q) <= 4**bits


@pytest.mark.parametrize(("x", "bits"), [(np.full(4000, 0.1), 5), (np.random.default_rng(0).normal(0, 1, 16_384), 8)])
def test_rounded_floats_fail_the_same_property(x, bits):
    assert longest(rounded_floats(x, 1.0, bits)) > 4**bits
    assert longest(mechanism(bits).quantise(x, 1.0)) <= 4**bits


def test_where_rounding_to_the_nearest_would_not_end_the_rest_is_cut_off(monkeypatch):
    monkeypatch.setattr("fedlearn.privacy.mechanism._ROUNDINGS", 0)
    for n, bits in ((16_384, 8), (16_384, 16), (3, 31)):
        x = np.random.default_rng(n).uniform(0.5, 1, n)
        q = mechanism(bits).quantise(x, 1.0)
        assert longest(q) <= 4**bits
        assert longest(q) > 0.1 * 4**bits


@given(st.integers(1, 3000), st.integers(0, 100), st.sampled_from([0.01, 0.5, 0.999, 1.0, 3.0]))
def test_what_is_within_the_clip_is_rounded_to_the_nearest_and_what_is_longer_keeps_its_direction(n, seed, norm):
    x = np.random.default_rng(seed).normal(size=n)
    x *= norm / np.linalg.norm(x)
    steps = 2**24
    q = mechanism(24).quantise(x, 1.0)
    np.testing.assert_allclose(q / steps, x / max(1.0, norm), atol=0.51 / steps if norm < 1 else 2e-6)


@pytest.mark.parametrize("length", [41, 1001, 2410, 16385])
def test_what_stands_beside_a_row_changes_no_bit_of_it(length):
    """Before it is rounded: after that a last bit shows in one run among millions."""
    x = np.random.default_rng(length).normal(size=(5, length))
    together = _scaled(x, 0.3, 2**20)
    for row, alone in zip(together, x, strict=True):
        assert _scaled(alone[None], 0.3, 2**20).tobytes() == row.tobytes()


def test_rows_of_a_stack_are_what_each_is_alone():
    x = np.random.default_rng(1).normal(0, 0.05, (7, 600)).astype(np.float32)
    x[3] *= 1e-3
    whole = mechanism(10).quantise(x, 1.0)
    for row, alone in zip(whole, x, strict=True):
        np.testing.assert_array_equal(row, mechanism(10).quantise(alone, 1.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_update_that_is_not_finite_counts_as_zeros_and_the_others_stay(bad):
    x = np.random.default_rng(2).normal(size=(3, 50))
    good = mechanism(16).quantise(x, 1.0)
    x[1, 7] = bad
    q = mechanism(16).quantise(x, 1.0)
    assert not q[1].any()
    np.testing.assert_array_equal(q[[0, 2]], good[[0, 2]])


@pytest.mark.parametrize(("clients", "honest"), [(1, 1.0), (10, 1.0), (57, 0.5)])
def test_the_noise_in_a_sum_is_the_stated_one_and_its_mean_is_decoded_by_the_expected_cohort(clients, honest):
    both = GaussianMechanism(noise=1.5, steps=2**12, expected=40.0, min_cohort=clients, honest=honest)
    x = np.random.default_rng(3).normal(0, 0.001, (clients, 20_000))
    noises = [DiscreteGaussian(both.sigma, key(i)) for i in range(clients)]
    total = sum(both.encode(row, 0.3, noise) for row, noise in zip(x, noises, strict=True))
    plain = both.quantise(x, 0.3).sum(axis=0)
    spread = (total - plain).std()
    assert spread == pytest.approx(both.sigma * clients**0.5, rel=0.02)
    assert spread >= 0.98 * 1.5 * 2**12
    np.testing.assert_allclose(
        both.decode(plain, 0.3), np.clip(x, -1, 1).sum(axis=0) / 40, atol=clients * 0.3 / 2**12 / 40
    )


def test_from_updates_to_an_epsilon_through_the_public_face():
    from fedlearn import privacy

    mechanism = privacy.GaussianMechanism(noise=1.0, steps=2**16, expected=60, min_cohort=57, honest=0.5)
    updates = np.random.default_rng(4).normal(0, 0.01, (60, 100))
    mean = mechanism.decode(sum(mechanism.encode(update, clip=0.3) for update in updates), clip=0.3)
    assert np.abs(mean - updates.mean(axis=0)).max() < 6 * 0.3 * math.sqrt(2 * 60 / 57) / 60
    spent = privacy.Pld().epsilon([privacy.Release(rate=0.1, noise=mechanism.charged, count=60)], delta=1e-5)
    assert spent == pytest.approx(5.5727, abs=0.01)


def test_noise_is_fresh_each_time_and_for_each_client():
    both, x = mechanism(16), np.zeros((2, 100))
    first, second = both.encode(x, 1.0), both.encode(x, 1.0)
    assert len({row.tobytes() for row in (*first, *second)}) == 4
    assert np.abs(first).max() <= both.bound


@given(st.floats(0.01, 100), st.integers(5, 31), st.integers(1, 10_000), st.floats(0.01, 1))
def test_a_clients_noise_is_the_least_integer_that_suffices(noise, bits, min_cohort, honest):
    addends = Fraction(honest) * min_cohort
    wanted = (Fraction(noise) * 2**bits) ** 2
    assume(addends >= 1 and 20**2 * addends <= wanted <= 4**32 * addends)
    both = GaussianMechanism(noise, 2**bits, 1.0, min_cohort, honest)
    assert addends * both.sigma**2 >= wanted > addends * (both.sigma - 1) ** 2
    assert Fraction(both.charged) ** 2 * 4**bits < addends * both.sigma**2 - 4
    assert noise * 0.99 <= both.charged <= noise * 1.05


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"noise": 0.0}, "noise is 0"),
        ({"noise": math.nan}, "noise is nan"),
        ({"steps": 0}, "0 steps"),
        ({"steps": 2**31 + 1}, "2,147,483,649 steps"),
        ({"expected": 0.0}, "expected cohort is 0"),
        ({"min_cohort": 0}, "0 addends"),
        ({"honest": 0.0}, "honest share is 0"),
        ({"honest": 1.5}, "honest share is 1.5"),
        ({"min_cohort": 10, "honest": 0.05}, "less than one whose noise is counted on: raise min_cohort"),
        (
            {"steps": 16},
            "noise of 16 steps a client, at least 20 .*scale to more steps .more bits in the codec.",
        ),
        ({"steps": 2**10, "min_cohort": 10_000}, "noise of 11 steps a client"),
        ({"noise": 1e4, "steps": 2**31}, "more than 2\\^32"),
    ],
)
def test_mechanisms_that_would_not_protect_are_refused(arguments, said):
    with pytest.raises(PrivacyError, match=said):
        GaussianMechanism(**{"noise": 1.0, "steps": 2**16, "expected": 10.0, **arguments})


def test_bad_arguments_of_the_halves_are_refused():
    both = mechanism(16)
    for clip in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(PrivacyError, match=f"clip is {clip:g}"):
            both.quantise(np.zeros(3), clip)
        with pytest.raises(PrivacyError, match=f"clip is {clip:g}"):
            both.decode(np.zeros(3, np.int64), clip)
    with pytest.raises(ShapeError, match="shape \\(1, 2, 3\\)"):
        both.quantise(np.zeros((1, 2, 3)), 1.0)
    with pytest.raises(PrivacyError, match="noise of sigma 20"):
        both.encode(np.zeros(3), 1.0, DiscreteGaussian(20))
