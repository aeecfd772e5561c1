"""Some of the random runs with one party that misbehaves; `python -m tests.adversaries` has many."""

from __future__ import annotations

import pytest

from tests.adversaries.outcomes import tried
from tests.adversaries.random_runs import PROTECTIONS

pytestmark = pytest.mark.slow  # the other files here have one of each kind


@pytest.mark.parametrize("protection", PROTECTIONS)
@pytest.mark.parametrize("seed", range(10))
def test_random_runs_with_one_party_that_misbehaves(protection, seed):
    outcome = tried(protection, seed)
    assert not outcome.fault, outcome
