"""Noise that cancels between rounds, for cohorts that take turns: its bound, its size, and that it is seen once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator import RunFolder
from aggregator.cohorts import cohorts_of
from aggregator.spending import Spending
from clients import InlinePool
from fedlearn.errors import CryptoKeyError, PrivacyError, RoundVoid
from fedlearn.privacy import AnalyticGaussian, Privacy, Terms
from fedlearn.privacy.banded import CARRIED, SWELL, BandedNoise, coefficients, stretch
from fedlearn.privacy.mechanism import NOISE_REACH
from fedlearn.privacy.sumnoise import SumNoise
from fedlearn.protocol import Step
from fedlearn.sampling import Rotation
from fedlearn.secure.opened import OpenedRounds
from tests.privacy.test_in_runs import people, protection, train

TURNS = {"sampler": "rotation", "count": 12, "cohort": 4}


def terms(**changes) -> Terms:
    given = {"where": "opener", "noise": 1.0, "clip": 0.3, "steps": 1 << 12, "expected": 4.0, "bands": 3, "length": 50}
    return Terms(**given | changes)


def test_coefficients_are_those_of_the_square_root():
    found = coefficients(9)
    assert found.tolist() == pytest.approx([math.comb(2 * k, k) / 4**k for k in range(9)])
    assert np.convolve(found, found)[:9] == pytest.approx(np.ones(9))  # squared, it adds up all that came before


@settings(max_examples=60)
@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 2**31), st.integers(0, 5))
def test_one_client_moves_what_is_opened_by_no_more_than_is_charged(bands, rounds, seed, first):
    """Both runs open the same: then their fresh noise differs by what they opened without it."""
    rng, steps, length = np.random.default_rng(seed), 200, 8
    noise = BandedNoise(60, bands, bytes(32))
    c = coefficients(bands)[1:]
    ones, others, far = [], [], []  # noise of both runs so far; how far their integers lie apart
    turns = range(first, rounds, bands)
    for t in range(rounds):
        x = rng.integers(-50, 50, length)
        mine = rng.normal(size=length)
        mine = np.trunc(mine * steps / np.linalg.norm(mine)).astype(np.int64) if t in turns else np.zeros(length, int)
        opened = noise.added(x + mine, t + 1)
        centres = [
            a - np.rint(sum((ci * w for ci, w in zip(c, reversed(past), strict=False)), np.zeros(length)))
            for a, past in ((x + mine, ones), (x, others))
        ]
        ones.append(opened - x - mine)
        others.append(opened - x)
        far.append(float(np.square(centres[0] - centres[1]).sum()))
    assert math.sqrt(sum(far)) <= math.sqrt(len(turns)) * stretch(bands, length, steps) * steps * (1 + 1e-12)


@pytest.mark.parametrize("bands", [2, 3, 10])
def test_it_is_of_the_stated_size_and_cancels_when_added_up(bands):
    sigma, rounds, length = 1000, 40, 4_000
    noise, zeros = BandedNoise(sigma, bands, bytes(32)), np.zeros(length, np.int64)
    drawn = np.array([noise.added(zeros, t + 1) for t in range(rounds)])
    assert 0.95 * sigma < drawn.std() <= SWELL * sigma
    for t in (0, 1, 2, rounds - 1):
        of = terms(bands=bands)
        assert drawn[t].std() / sigma == pytest.approx(of.deviation(t + 1) / of.mechanism.sigma, rel=0.05)
    assert np.abs(drawn).max() <= SWELL * NOISE_REACH * sigma + CARRIED
    cancelled = drawn.sum(axis=0).std() / (math.sqrt(rounds) * sigma)
    assert cancelled == pytest.approx(1 / coefficients(bands).sum(), rel=0.25)  # of what fresh noise would come to


def test_a_later_process_makes_the_same_noise_again():
    zeros = np.zeros(20, np.int64)
    whole = BandedNoise(500, 4, bytes(32))
    rows = [whole.added(zeros, t) for t in range(1, 9)]
    later = BandedNoise(500, 4, bytes(32))
    assert later.added(zeros, 6).tolist() == rows[5].tolist()
    assert later.added(zeros, 8).tolist() == rows[7].tolist()  # one was void in between
    assert later.added(zeros, 8, group=1).tolist() != rows[7].tolist()
    assert BandedNoise(500, 4, bytes([1]) * 32).added(zeros, 6).tolist() != rows[5].tolist()


@pytest.mark.parametrize(("population", "size"), [(12, 4), (10, 4), (7, 7), (5, 1)])
def test_clients_take_turns(population, size):
    sampler, turns = Rotation(), Rotation.apart(population, size)
    for first in (1, 4):
        cohorts = [sampler.sample(3, t, population, size) for t in range(first, first + turns)]
        assert sorted(client for cohort in cohorts for client in cohort) == list(range(population))
        assert all(size - 1 <= len(cohort) <= size for cohort in cohorts)
    if turns > 1:
        assert cohorts[0] != sampler.sample(4, 4, population, size)


def test_protections_change_no_bit_and_both_parties_have_one_epsilon():
    runs = {spec: train(spec, "noise=2,clip=0.3", rounds=7, **TURNS) for spec in ("none", "paillier")}
    assert len({weights.tobytes() for weights, _, _ in runs.values()}) == 1
    history = runs["paillier"][1]
    last, said = history.rounds[-1], history.privacy
    assert last.epsilon == last.epsilon_aggregator
    assert (said["bands"], said["most_sums"]) == (3, 3)  # of seven rounds, three turns
    charged = 2 / stretch(3, runs["none"][0].size + 1, 2**23 - 1)
    assert last.epsilon == pytest.approx(AnalyticGaussian(math.sqrt(3) / charged).epsilon(said["delta"]), rel=1e-4)
    plain = train("masks", "noise=2,clip=0.3", rounds=3, **TURNS)[1]  # by clients, whose noise is their own each round
    assert "bands" not in plain.privacy


def test_noise_for_an_epsilon_costs_it_and_not_more():
    _, history, _ = train("none", "epsilon=3,clip=0.3", rounds=6, **TURNS)
    assert 2.99 < history.rounds[-1].epsilon <= 3


def test_a_resumed_run_goes_on_with_its_noise(tmp_path):
    asked = Privacy(noise=2, clip=0.3)
    folder = tmp_path / "run"
    train("none", asked, rounds=2, folder=RunFolder(folder, {}, {}), **TURNS)
    key = folder / "noise.key"
    assert oct(key.stat().st_mode)[-3:] == "600"
    before = key.read_bytes()
    train("none", asked, rounds=3, folder=RunFolder(folder, {}, {}, resume=True), **TURNS)
    assert key.read_bytes() == before
    key.unlink()
    with pytest.raises(CryptoKeyError, match="No such file"):
        train("none", asked, rounds=4, folder=RunFolder(folder, {}, {}, resume=True), **TURNS)


def test_the_key_holder_keeps_its_secret_beside_its_memory(tmp_path):
    train("paillier", Privacy(noise=2, clip=0.3), rounds=1, folder=RunFolder(tmp_path / "run", {}, {}), **TURNS)
    (key,) = (tmp_path / "run").rglob("*.noise")
    assert oct(key.stat().st_mode)[-3:] == "600"
    assert not list((tmp_path / "run").rglob("noise.key"))  # the aggregator has none


def test_no_round_is_opened_twice_under_one_noise():
    """Two sums under the same noise would tell their difference."""
    asked, guard = Privacy(noise=2, clip=0.3), protection()
    cohorts = cohorts_of(asked, guard, Rotation(), None, 12, 4, 6)
    spending = Spending.of(asked, guard, True, 30, cohorts, 5)
    spending.charge(bytes(16), Step(1), [0, 1, 2])
    spending.charge(bytes(16), Step(1), [0, 1, 2])  # the same attempt
    with pytest.raises(RoundVoid, match="another sum"):
        spending.charge(bytes(16), Step(1, 1), [0, 1])
    spending.charge(bytes(16), Step(2), [3])
    opened = OpenedRounds(2, None)
    opened.enter((1, 0), b"model", [0, 1, 2])
    assert opened.was_opened((1, 0))
    assert not opened.was_opened((2, 0))


@pytest.mark.parametrize(
    "changes",
    [{"bands": 0}, {"bands": 1 << 20}, {"length": 0}, {"where": "clients"}, {"unit": "example", "rate": 0.5}],
)
def test_terms_that_are_none_are_refused(changes):
    with pytest.raises(PrivacyError):
        terms(**changes)


def test_a_kept_key_that_is_cut_is_refused(tmp_path):
    path = tmp_path / "noise.key"
    path.write_bytes(bytes(31))
    path.chmod(0o600)
    noise = SumNoise()
    noise.keep(path, fresh=False)
    with pytest.raises(CryptoKeyError, match="31 bytes in the place of 32"):
        noise.added(terms(), np.zeros(50, np.int64), 1)


def test_turns_are_the_same_in_any_pool():
    assert train("none", rounds=2, pool=InlinePool(people(12)), sampler="rotation", cohort=4)[1].counted == 2
