"""The scenario's three claims, at full key size."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from scenarios.command.options import Options
from scenarios.leak_embedding import run, wilson


def test_plain_leaks_all_encrypted_nothing_and_the_sum_what_everybody_said(tmp_path):
    outcome = run(Options(out=tmp_path / "run"))
    claims = {claim.name: claim.value for claim in outcome.claims}
    assert (claims["recall"], claims["precision"]) == (1.0, 1.0)
    assert "my computer password is pizza" in outcome.story
    assert 0.35 < claims["game_rate"] < 0.65  # six standard deviations of 400 tosses of a coin
    assert claims["game_low"] < claims["game_rate"] < claims["game_high"]
    assert claims["sum_recall"] == 1.0
    assert claims["sum_attribution"] < 0.35  # chance is 0.1
    assert {path.name for path in (tmp_path / "run").glob("leak_embedding.*")} == {
        "leak_embedding.png", "leak_embedding.svg",
    }  # fmt: skip
    assert outcome.story.splitlines()[-1].endswith(".")


@pytest.mark.parametrize(("right", "trials"), [(200, 400), (0, 400), (7, 10)])
def test_the_interval_is_wilsons(right, trials):
    theirs = binomtest(right, trials).proportion_ci(0.999, method="wilson")
    assert wilson(right / trials, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-5)
