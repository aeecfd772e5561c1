"""Masks: the sum comes out exactly whoever vanishes when, or not at all; how many holders that takes is stated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedlearn.crypto import FixedPoint
from fedlearn.crypto.lanes import residues_from_bytes
from fedlearn.errors import BadInput, CryptoKeyError, RoundVoid
from fedlearn.secure import PROTECTIONS, Masks
from fedlearn.secure.base import Settings
from tests.secure.attempts import PHASES, Attempt
from tests.toys import toy_codec

STAYS = len(PHASES)


@settings(max_examples=40)
@given(
    bits=st.integers(2, 50), fates=st.lists(st.sampled_from([*range(STAYS), *[STAYS] * 9]), min_size=3, max_size=14),
    length=st.integers(1, 80), seed=st.integers(0, 2**32),
)  # fmt: skip
@example(bits=24, fates=[STAYS] * 3, length=5, seed=0)
@example(bits=24, fates=[0, 1, 2, 3, 4, *[STAYS] * 9], length=5, seed=0)
def test_the_sum_is_exact_whoever_vanishes_when_or_the_round_is_void(bits, fates, length, seed):
    """All pairs: it is void exactly if fewer than min_cohort add, or fewer than the threshold stay to the end."""
    protection = Masks(FixedPoint(bits=bits, bound=1.0, addends=len(fates)))
    attempt = Attempt(protection, len(fates), length, seed)
    joined = sum(fate > 0 for fate in fates)
    added = sum(fate > PHASES.index("update") for fate in fates)
    stayed = sum(fate == STAYS for fate in fates)
    try:
        for number, phase in enumerate(PHASES):
            attempt.play(phase, {client for client, fate in enumerate(fates) if fate == number})
        total = attempt.finish()
    except RoundVoid:
        assert min(joined, added) < 3 or stayed < protection.guarantee(joined).threshold
    else:
        assert total.dtype == np.int64
        assert total.tolist() == attempt.plain_sum().tolist()
        assert attempt.server.addends == added
        assert stayed >= protection.guarantee(joined).threshold


@pytest.mark.parametrize("count", range(3, 22))
def test_any_number_of_shares_works(count):
    """Even or odd: all pairs, as many shares as clients, as many vanishing as the threshold leaves."""
    protection = Masks(toy_codec(addends=21))
    attempt = Attempt(protection, count).upto("update")
    spare = count - protection.guarantee(count).threshold
    attempt.play("update", vanish=range(min(spare, count - 3)))
    attempt.play("check")
    attempt.play("unmask")
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()


@pytest.mark.parametrize("neighbours", range(2, 25))
def test_any_number_of_neighbours_works(neighbours):
    """On a circle an odd number is rounded up; more than there are others means all pairs."""
    protection = Masks(toy_codec(addends=23), neighbours=neighbours)
    chosen = protection.guarantee(23)
    assert chosen.degree == min(neighbours + neighbours % 2, 22)
    assert 2 * chosen.threshold > chosen.degree + 1
    attempt = Attempt(protection, 23).upto("update")
    attempt.play("update", vanish=[7] if neighbours > 2 else [])
    attempt.play("check")
    attempt.play("unmask", vanish=[3] if neighbours > 4 else [])
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()


@pytest.mark.parametrize("neighbours", [None, 20])
def test_fifty_clients_a_fifth_of_whom_vanish_at_different_steps(neighbours):
    attempt = Attempt(Masks(toy_codec(addends=50), neighbours=neighbours), 50, 500)
    gone = np.random.default_rng(3).permutation(50)[:10].reshape(5, 2)
    for phase, vanish in zip(PHASES, gone, strict=True):
        attempt.play(phase, vanish)
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()
    assert len(attempt.summed) == 44
    assert len(attempt.alive) == 40


@pytest.mark.parametrize("phase", PHASES[1:])
def test_too_many_dropouts_void_the_round_and_say_why(phase):
    attempt = Attempt(Masks(toy_codec()), 10).upto(phase)
    threshold = attempt.protection.guarantee(10).threshold
    attempt.play(phase, vanish=range(10 - threshold + 1))
    reason = rf"{threshold - 1} of the 10 holders of client-\d's shares are left, {threshold} are needed"
    with pytest.raises(RoundVoid, match=reason):
        [*map(attempt.play, PHASES[PHASES.index(phase) + 1 :]), attempt.finish()]


def test_one_masked_vector_says_nothing_and_is_another_in_each_attempt():
    """The residues of vectors of zeros take every value equally often; so do those of two clients of three."""
    seen = []
    for _ in range(2):
        attempt = Attempt(Masks(FixedPoint(bits=8, bound=1.0, addends=4)), 3, 64_000).upto("update")
        attempt.vectors[:] = 0
        attempt.play("update", change_up=lambda client, payload: seen.append(payload) or payload)
    residues = [residues_from_bytes(payload[32:], 10, 64_000) for payload in seen]
    pair = (residues[0] + residues[1]) % 1024
    for one in (*residues, pair):
        counts = np.bincount(one.astype(np.int64), minlength=1024)
        assert ((counts - 62.5) ** 2 / 62.5).sum() < 1300  # chi square: 1023 degrees of freedom, p < 1e-8
    for i, one in enumerate(residues):
        for other in residues[:i]:
            assert np.count_nonzero(one == other) < 200


def test_the_guarantee_is_stated():
    chosen = Masks().guarantee(100)
    assert (chosen.degree, chosen.threshold) == (68, 35)
    assert chosen.insecurity <= 2**-40
    assert chosen.failure <= 2**-20
    same = Masks(neighbours=68).guarantee(100)  # counted with exact binomials
    assert (same.degree, same.threshold, same.corrupt, same.dropouts) == (68, 35, 20, 30)
    assert same.insecurity == pytest.approx(chosen.insecurity, rel=1e-6)
    assert same.failure == pytest.approx(chosen.failure, rel=1e-6)
    few = Masks(neighbours=20).guarantee(100)
    assert few.insecurity > 0.01
    everybody = Masks(neighbours=99).guarantee(100)
    assert (everybody.degree, everybody.insecurity, everybody.failure) == (99, 0, 0)
    assert Masks(neighbours=99, dropouts=0.5).guarantee(100).failure == 1
    with pytest.raises(CryptoKeyError, match="fewer than the 51 holders"):
        Masks(dropouts=0.5).guarantee(100)


def test_configuration_is_checked_and_survives_the_plan():
    with pytest.raises(BadInput, match="min_cohort is 2"):
        Masks(min_cohort=2)
    with pytest.raises(BadInput, match="neighbours is 1"):
        Masks(neighbours=1)
    with pytest.raises(BadInput, match="together below 1"):
        Masks(corrupt=0.5, dropouts=0.5)
    context = Settings(toy_codec(), min_cohort=4)
    for bad in ("masks:", "masks:many", "masks:-3", "masks:2.5"):
        with pytest.raises(BadInput, match="neighbours"):
            PROTECTIONS.parse(bad, context)
    assert PROTECTIONS.parse("masks", context).neighbours is None
    protection = PROTECTIONS.parse("masks:20", context)
    assert (protection.neighbours, protection.min_cohort, protection.codec) == (20, 4, toy_codec())
    assert Masks.rebuild(protection.arguments()).arguments() == protection.arguments()
