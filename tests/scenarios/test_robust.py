"""The stories of robust rules: what a rule saves, what a group hides, and that protections change nothing."""

from __future__ import annotations

import pytest

from scenarios import robust_rules, robust_vs_secret
from scenarios.command.options import Options


def claims_of(outcome) -> dict[str, float]:
    return {claim.name: claim.value for claim in outcome.claims}


def test_a_rule_stands_what_breaks_the_mean(tmp_path, monkeypatch):
    monkeypatch.setattr(robust_rules, "RULES", {"mean": None, "nnm+trimmed": "nnm+trimmed:f=6"})
    monkeypatch.setattr(robust_rules, "ATTACKS", {"nobody": None, "ipm x8": "ipm:6,epsilon=8"})
    outcome = robust_rules.run(Options(rounds=8, out=tmp_path / "run"))
    claims = claims_of(outcome)
    assert len(claims) == 8
    assert claims["mean_ipm_x8_alike"] < 0.3 < claims["nnm+trimmed_ipm_x8_alike"]
    assert claims["nnm+trimmed_nobody_alike"] == pytest.approx(claims["mean_nobody_alike"], abs=0.05)
    assert "ipm x8" in outcome.story
    assert (tmp_path / "run" / "robust_rules.png").stat().st_size > 1000


def test_small_groups_are_robust_and_protections_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(robust_vs_secret, "SIZES", (3, 10))
    outcome = robust_vs_secret.run(Options(rounds=6, key_bits=512, insecure_test_key=True, out=tmp_path / "run"))
    claims = claims_of(outcome)
    assert claims["same_model"] == 1
    assert (claims["groups_3"], claims["groups_10"]) == (20, 6)
    assert (claims["attribution_3"], claims["attribution_10"]) == (pytest.approx(1 / 3), 0.1)
    assert claims["lost_3"] == 0
    assert claims["lost_10"] == pytest.approx(0.99, abs=0.01)
    assert claims["accuracy_3"] > max(claims["accuracy_10"], claims["accuracy_mean"]) + 0.2
    assert claims["backdoor_3"] < 0.2 < 0.5 < claims["backdoor_mean"]
    assert (tmp_path / "run" / "robust_vs_secret.svg").stat().st_size > 1000
