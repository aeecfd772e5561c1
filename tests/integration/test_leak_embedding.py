"""The scenario's three claims, at full key size."""

from __future__ import annotations

from scenarios.leak_embedding import run
from scenarios.options import Options


def test_plain_leaks_all_encrypted_nothing_and_the_sum_what_everybody_said(tmp_path):
    outcome = run(Options(out=tmp_path / "run"))
    claims = {claim.name: claim.value for claim in outcome.claims}
    assert (claims["recall"], claims["precision"]) == (1.0, 1.0)
    assert "my computer password is pizza" in outcome.story
    assert claims["game_low"] <= 0.5 <= claims["game_high"]  # a 99.9% interval
    assert claims["sum_recall"] == 1.0
    assert claims["sum_attribution"] < 0.35  # chance is 0.1
