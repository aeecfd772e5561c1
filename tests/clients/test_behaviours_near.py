"""Groups change what one malicious client sends: the mean of its group is what it wants."""

from __future__ import annotations

import numpy as np
import pytest

from clients.behaviours.base import Crew
from clients.behaviours.collusion import ALIE, IPM
from clients.behaviours.flips import SignFlip
from clients.behaviours.nearness import MinMax, MinSum
from fedlearn.errors import BadInput
from fedlearn.strategies.base import LocalUpdate

DELTAS = np.random.default_rng(0).normal(1, 0.5, (5, 8)).astype(np.float32)
CREW = Crew(cohort=20, corrupted=5, colluders=dict.fromkeys(range(5)), classes=2, vocabulary=None)


def honest(number, data):
    return LocalUpdate({"delta": DELTAS[number]}, 3, 0.5)


def sent(behaviour):
    return behaviour.update(honest(0, None), honest).vectors["delta"]


@pytest.mark.parametrize("kind", [ALIE, IPM, MinMax, MinSum])
def test_one_of_a_group_makes_the_groups_mean_what_it_wants(kind):
    """The others send the mean of honest updates."""
    settings = {"z": 1.5} if kind is ALIE else {}
    alone, in_group = sent(kind.of(CREW, **settings)), sent(kind.of(CREW, group=4, **settings))
    mean = DELTAS.mean(axis=0)
    assert (in_group + 3 * mean) / 4 == pytest.approx(alone, abs=1e-5)


def test_one_of_a_group_turns_its_groups_mean_round():
    """The others send what it would honestly have sent itself."""
    turned = sent(SignFlip.of(CREW, scale=4, group=3))
    assert (turned + 2 * DELTAS[0]) / 3 == pytest.approx(-4 * DELTAS[0], abs=1e-5)
    assert np.array_equal(sent(SignFlip.of(CREW, scale=0.1)), np.float32(-0.1) * DELTAS[0])


def test_what_cannot_be():
    one = Crew(20, 1, {0: None}, 2, None)
    with pytest.raises(BadInput, match="at least 2"):
        MinMax.of(one)
    with pytest.raises(BadInput, match="group is 0"):
        IPM.of(CREW, group=0)
    with pytest.raises(BadInput, match="group is 0"):
        SignFlip.of(CREW, group=0)
